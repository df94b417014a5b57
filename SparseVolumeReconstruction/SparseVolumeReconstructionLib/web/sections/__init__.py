"""The sections of the page, as those of the desktop panel: what each shows, and what can be done in it."""
