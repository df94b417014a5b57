"""The browser edition: the panel's workflow and Slicer's four views as a page. Needs trame-slicer."""
