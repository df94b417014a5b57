"""The page: templates, one for every section, from the files of Resources/Web."""

from __future__ import annotations

from pathlib import Path

from trame.ui.html import DivLayout

RESOURCES = Path(__file__).resolve().parents[2] / "Resources" / "Web"
TITLE = "Sparse Volume Reconstruction"
_PARTS = (
    "guide",
    "scan",
    "contexts",
    "prior",
    "frame",
    "outputs",
    "explore",
    "tools",
    "learn",
    "lesson",
    "plan",
    "run",
    "look",
)

# Variables of the page alone. one: the view that a small page shows. tool: what a drag in a slice view does:
# "", "point", "window".
_OF_THE_PAGE = {"one": "Red", "tool": ""}
_SCRIPTS = ("svr", "page", "views", "lesson", "plan")


def build_page(server) -> None:
    """Make the page of a trame server; what it shows and does are the sections of the App."""
    server.state.trame__title = TITLE
    server.state.trame__favicon = None
    for name, value in _OF_THE_PAGE.items():
        server.state[name] = value
        server.state.change(name)(lambda **_: None)  # what nobody listens to may not be set from a page
    server.enable_module(
        {
            "serve": {"svr": str(RESOURCES)},
            "scripts": [f"svr/{name}.js" for name in _SCRIPTS],
            "styles": ["svr/svr.css", "svr/lesson.css"],
        },
    )
    server.state.trame__template_error = (RESOURCES / "lost.html").read_text(encoding="utf-8")
    for name in _PARTS:
        _template(server, f"part_{name}", f"{name}.html")
    _template(server, "main", "page.html")


def _template(server, name: str, file: str) -> None:
    """A file of Resources/Web as a template of the page.

    Each is drawn anew only when a variable changes that it shows.
    """
    with DivLayout(server, template_name=name, classes="svr" if name == "main" else "part") as layout:
        layout.root.add_child((RESOURCES / file).read_text(encoding="utf-8"))
