"""Pages that stand alone: HTML from the templates in Resources/Reports, with style and pictures inside."""

from __future__ import annotations

import base64
import functools
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parents[1] / "Resources" / "Reports"


def render(template: str, **content) -> str:
    """A page as HTML text; nothing in it refers to another file.

    Args:
        template: its name without ".html".
        content: what the template shows; all text is escaped, pictures are PNG files (bytes).
    """
    return _environment().get_template(f"{template}.html").render(**content)


@functools.cache
def _environment():
    import jinja2  # not at the top: the panel opens before it is installed (it comes with torch)

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["data_address"] = _data_address
    return environment


def _data_address(png: bytes) -> str:
    """A PNG file as an address that carries it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
