"""What was found of a result's slices, in words: how sure the frame is, which contrast, what they show."""

from __future__ import annotations

from dataclasses import dataclass

from ..alignment.limits import MIN_PROBABILITY, rounded_down
from ..mrml.i18n import _
from ..mrml.look import contrast_made


@dataclass(frozen=True)
class Told:
    """A sentence; doubtful: it is shown as a warning (amber)."""

    text: str = ""
    doubtful: bool = False


def frame_told(provenance: dict) -> Told:
    """How the frame of a result (content of its result.json) is known, and how sure it is."""
    search = provenance.get("search")
    if search is not None:
        found = _found(search.get("frame_probability"))
        words = _("{found}, as of the search at {time}")
        return Told(words.format(found=found.text, time=search["time"]), found.doubtful)
    probability = provenance.get("frame_probability")
    if provenance.get("frame", {}).get("found_from_slices"):
        return _found(probability)
    registered = provenance.get("request", {}).get("frame") == "registered"
    if registered and (seen := provenance.get("radiographs")):
        least = rounded_down(100 * min(each["explained"] for each in seen), 0)
        return Told(_("In the space of the model, which explains {n} % of the radiograph").format(n=least))
    how = _("Frame: registered already, as chosen") if registered else _("Frame: given, not searched")
    if probability is None or probability >= MIN_PROBABILITY:
        return Told(how)
    return Told(_("{how}; it looks right with {sure} only").format(how=how, sure=_percent(probability)), True)


def _found(probability: float | None) -> Told:
    if probability is None:
        return Told(_("Frame found from the slices; how sure is not known for this model"))
    doubtful = probability < MIN_PROBABILITY
    words = _("Frame found: only {sure} sure") if doubtful else _("Frame found: {sure} sure")
    return Told(words.format(sure=_percent(probability)), doubtful)


def _percent(probability: float) -> str:
    """Rounded down, so that nothing is sure, and what is below a limit does not look as if it were not."""
    percent = rounded_down(100 * probability, 0)
    return _("{n} %").format(n=percent) if percent != "0" else _("less than 1 %")


def scan_told(provenance: dict) -> str:
    """What the slices of a result show, as "T2w-like, whole head, shown as T1w"; "" where nobody looked."""
    contrast = provenance.get("contrast", {})
    words = contrast.get("found") if contrast.get("series") else ""
    if words == "unclear":
        words = _("contrast unclear")
    extent = ""
    if "brain_mask" in provenance.get("volumes", []):
        if provenance.get("request", {}).get("mask"):
            extent = _("brain as masked")
        else:
            extent = _("whole head") if contrast.get("series") else _("with what is around the brain")
    made = contrast_made(provenance)
    shown = _("shown as {contrast}").format(contrast=made) if made else ""
    return ", ".join(filter(None, (words, extent, shown)))


def offers_contrasts(provenance: dict) -> bool:
    """Whether the slices of a result can be shown in another contrast.

    That of the model, T1w, where theirs is not; any, where the model knows tissues.
    """
    contrast = provenance.get("contrast", {})
    return bool(contrast.get("any")) or bool(contrast.get("series") and contrast.get("other"))


def made_told(provenance: dict) -> list[str]:
    """What a result that no model reconstructed from slices was made of, in lines."""
    lines = []
    if slices := provenance.get("slices"):
        weak = sum(each["weight"] < 0.5 for each in slices)
        lines.append(
            _("{n} slices of {stacks} stacks merged; {weak} have little weight.").format(
                n=len(slices), stacks=len(provenance["stacks"]), weak=weak
            )
        )
        ncc = provenance.get("self_check", {}).get("ncc", {})
        if ncc.get("before") is not None and ncc.get("after") is not None:
            lines.append(
                _(
                    "Each slice predicted from the others: correlation {before:.2f} as they lie, {after:.2f} "
                    "where they were found."
                ).format(**ncc)
            )
    if made := provenance.get("made"):
        lines.append(_("{contrast} made from other contrasts.").format(contrast=made))
    return [*lines, _("Every voxel is inferred. Not for diagnosis.")]
