"""The panel of the desktop application: Qt sections over the presenter. Needs qt."""
