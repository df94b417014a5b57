"""The page: one template, put together from the files of Resources/Web."""

from __future__ import annotations

from pathlib import Path

from trame.ui.html import DivLayout

RESOURCES = Path(__file__).resolve().parents[2] / "Resources" / "Web"
TITLE = "Sparse Volume Reconstruction"
_PANEL = ("scan", "contexts", "prior", "frame", "outputs", "explore", "learn")


def build_page(server) -> None:
    """Make the page of a trame server; what it shows and does are the sections of a Desk."""
    server.state.trame__title = TITLE
    server.state.trame__favicon = None
    server.enable_module(
        {"serve": {"svr": str(RESOURCES)}, "scripts": ["svr/svr.js"], "styles": ["svr/svr.css"]},
    )
    server.state.trame__template_error = (RESOURCES / "lost.html").read_text(encoding="utf-8")
    text = (RESOURCES / "page.html").read_text(encoding="utf-8")
    parts = {name: (RESOURCES / f"{name}.html").read_text(encoding="utf-8") for name in (*_PANEL, "run", "look")}
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    with DivLayout(server, classes="svr") as layout:
        layout.root.add_child(text)
