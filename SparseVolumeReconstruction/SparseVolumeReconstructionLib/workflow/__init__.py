"""What a user can do, without any toolkit: the same for the desktop panel and the browser."""
