"""The page: templates, one for every section, from the files of Resources/Web."""

from __future__ import annotations

from pathlib import Path

from trame.ui.html import DivLayout

RESOURCES = Path(__file__).resolve().parents[2] / "Resources" / "Web"
TITLE = "Sparse Volume Reconstruction"
_PARTS = ("guide", "scan", "contexts", "prior", "frame", "outputs", "explore", "learn", "lesson", "run", "look")


def build_page(server) -> None:
    """Make the page of a trame server; what it shows and does are the sections of a Desk."""
    server.state.trame__title = TITLE
    server.state.trame__favicon = None
    server.state.one = "Red"  # the view that a small page shows
    server.state.lesson = False  # true: a lesson (lesson.html) takes the place of the panel, beside the same views
    server.enable_module(
        {"serve": {"svr": str(RESOURCES)}, "scripts": ["svr/svr.js", "svr/page.js", "svr/views.js"], "styles": ["svr/svr.css"]},
    )
    server.state.trame__template_error = (RESOURCES / "lost.html").read_text(encoding="utf-8")
    for name in _PARTS:
        _template(server, f"part_{name}", f"{name}.html")
    _template(server, "main", "page.html")


def _template(server, name: str, file: str) -> None:
    """A file of Resources/Web as a template of the page; each is drawn anew only when a variable changes that it shows."""
    with DivLayout(server, template_name=name, classes="svr" if name == "main" else "part") as layout:
        layout.root.add_child((RESOURCES / file).read_text(encoding="utf-8"))
