"""Translation of the texts that users see: Slicer's own in the application, none elsewhere."""

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text: str) -> str:
        """The text itself."""
        return text


__all__ = ["_"]
