"""The colour legend of an uncertainty: a display node of its volume, which Slicer draws into the slice views and saves with a scene."""

from __future__ import annotations

import slicer

from .i18n import _

_COLOURS = 16


def show_legend(volume, shown: bool) -> None:
    """Draw the legend of a volume node in colour into the slice views that there are, or take it away."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
    if legend is None and shown:
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
        legend.SetTitleText(_("Inferred, sd\n({unit})").format(unit=unit()))
        legend.SetSize(0.12, 0.4)
        legend.SetNumberOfLabels(3)
        legend.SetLabelFormat("%.3g")
    if legend is not None:
        legend.SetVisibility3D(False)
        legend.SetVisibility(shown)


def unit() -> str:
    """The unit of the values of a result, for people."""
    return _("grey values")


def legend_of(volume) -> dict:
    """The legend of a volume node in colour as plain data: low and high in its unit, the unit, and colours (#rrggbb) from low to high."""
    display = volume.GetDisplayNode()
    colours, rgb = display.GetColorNode().GetLookupTable(), [0.0] * 3
    low, high = colours.GetRange()
    found = []
    for n in range(_COLOURS):
        colours.GetColor(low + (high - low) * n / (_COLOURS - 1), rgb)
        found.append("#" + "".join(f"{round(255 * part):02x}" for part in rgb))
    return {"low": display.GetWindowLevelMin(), "high": display.GetWindowLevelMax(), "unit": unit(), "colours": found}
