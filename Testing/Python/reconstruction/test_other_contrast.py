"""Series of several contrasts: what each is compared as, what stands in the result, and what is told."""

from dataclasses import replace

import numpy as np
import pytest

from SparseVolumeReconstructionLib.alignment.align import Alignment
from SparseVolumeReconstructionLib.alignment.intensity import MonotoneMap
from SparseVolumeReconstructionLib.data.fractions import tissue_fractions
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.reconstruction.other_contrast import contrasts_of
from SparseVolumeReconstructionLib.reconstruction.whole_head import find_brain
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """Of the embedded prior of T1w brains."""
    return ModelStore(tmp_path_factory.mktemp("none")).find("brain-t1").entry.card


@pytest.fixture(scope="module")
def scans(shared_data) -> dict:
    """Four slices of a person in two contrasts, by name."""
    folder = shared_data / "multimodal_t1_flair"
    volumes = {kind: read_volume(folder / f"siteA_sub-11_{kind}.nii.gz") for kind in ("T1w", "FLAIR")}
    found = {}
    for kind, volume in volumes.items():
        shown = np.flatnonzero((volume.array > 0).mean((1, 2)) > 0.05)
        places = np.quantile(shown, (0.45, 0.55, 0.65, 0.72)).astype(int)
        found[kind] = [slice_of(volume, int(k), source=kind) for k in places]
    return found


def test_a_known_contrast_stays_as_it_is(card, scans):
    contrasts = contrasts_of(scans["T1w"], None, card)
    assert contrasts.for_prior == scans["T1w"] and contrasts.told() == []
    known = Alignment(np.eye(4), MonotoneMap.identity(), None, 0.8, {})
    assert contrasts.shown(known) is known and contrasts.observed(known) == scans["T1w"]
    assert contrasts.provenance()["shown_as"] == "T1w"


@pytest.mark.parametrize(
    ("order", "show_as", "stands", "told"),
    [
        (("FLAIR", "T1w"), "own", {"FLAIR"}, 2),
        (("FLAIR", "T1w"), "t1w", {"T1w"}, 2),
        (("T1w", "FLAIR"), "own", {"T1w"}, 2),
        (("T1w", "FLAIR"), "flair", {"FLAIR"}, 2),
        (("FLAIR",), "t1w", set(), 2),
        (("T1w",), "flair", set(), 1),
        (("T1w",), "t1w", {"T1w"}, 0),
    ],
)
def test_only_what_is_of_the_shown_contrast_stands_in_the_result(card, scans, order, show_as, stands, told):
    contrasts = contrasts_of([s for kind in order for s in scans[kind]], None, card, show_as=show_as)
    known = Alignment(np.eye(4), MonotoneMap(np.array([0, 1000.0]), np.array([0, 1.0])), None, 0.8, {})
    alignment = contrasts.shown(known)
    assert {s.source for s in contrasts.observed(alignment)} == stands
    assert (alignment.shown is not None) is (order[0] == "FLAIR" and show_as == "own")
    assert len(contrasts.told()) == told
    assert any("knows T1w MRI only" in text for text in contrasts.told()) is ("FLAIR" in order)
    changed = {s.source for s, p in zip(contrasts.slices, contrasts.for_prior, strict=True) if s is not p}
    assert changed == {"FLAIR"} & set(order)


def test_brightness_of_a_contrast_agent_is_told(card, scans):
    """Vessels and a ring that are twice as bright as white matter: a warning; without them none."""
    enhanced = []
    for s in scans["T1w"]:
        rows, columns = np.indices(s.pixels.shape)
        middle = [np.median(axis) for axis in np.nonzero(s.pixels)]
        ring = np.abs(np.hypot(rows - middle[0] - 12, columns - middle[1] - 12) - 7) < 1
        bright = 2 * np.quantile(s.pixels[s.pixels > 0], 0.8)
        enhanced.append(replace(s, pixels=np.where(ring & (s.pixels > 0), bright, s.pixels)))
    told = contrasts_of(enhanced, None, card).told()
    assert any("contrast agent" in text and text.startswith("T1w:") for text in told), told
    for kind in scans:
        assert not any("contrast agent" in text for text in contrasts_of(scans[kind], None, card).told())


def test_dark_and_bright_exchanged_inside_the_brain_are_told(card, scans, shared_data):
    """With a background of 0, where nothing but the tissues tells; and no T2w or FLAIR is taken for it."""
    top = max(s.pixels.max() for s in scans["T1w"])
    exchanged = [replace(s, pixels=np.where(s.pixels > 0, top + 1 - s.pixels, 0)) for s in scans["T1w"]]
    told = contrasts_of(exchanged, None, card).told()
    assert any("dark and bright seem to be exchanged" in text for text in told), told
    t2w = read_volume(shared_data / "multimodal_t1_t2_flair" / "ljubljana_26_T2w.nii.gz")
    for slices in (scans["FLAIR"], [slice_of(t2w, k) for k in (50, 70, 90)]):
        assert contrasts_of(slices, None, card).inverted == []


def test_proton_density_is_understood_by_its_tissues(card, scans):
    """As a T1w scan's own tissues would show it: fluid and grey matter bright, white matter less so."""
    stack = np.stack([s.pixels for s in scans["T1w"]]) / scans["T1w"][0].pixels.max()
    volume = Volume(stack, Grid.centred(stack.shape, 2.0))
    shares = np.stack([one.array for one in tissue_fractions(volume)])
    density = 1000 * np.tensordot([0.9, 0.8, 0.65], shares, 1)
    noise = np.random.default_rng(0).normal(0, 15, density.shape) * (density > 0)
    slices = [replace(s, pixels=p) for s, p in zip(scans["T1w"], np.maximum(density + noise, 0), strict=True)]
    contrasts = contrasts_of(slices, None, card)
    assert contrasts.is_other("T1w") and contrasts.inverted == [] and contrasts.enhanced == []
    seen = [s.pixels[s.pixels > 0] for s in contrasts.for_prior]
    known = [s.pixels[p.pixels > 0] for s, p in zip(scans["T1w"], contrasts.for_prior, strict=True)]
    assert np.corrcoef(np.concatenate(seen), np.concatenate(known))[0, 1] > 0.6, "compared as T1w"


def test_bright_vessels_of_a_whole_head_are_no_contrast_agent(card, shared_data):
    volume = read_volume(shared_data / "heads_t1_ixi" / "IXI226_T1w.nii.gz")
    slices = [slice_of(volume, k) for k in (35, 45, 55, 62)]
    brain = find_brain(slices, card)
    told = contrasts_of(brain.slices, brain, card).told()
    assert not any("contrast agent" in text for text in told), told


def test_two_contrasts_in_one_stack_are_told(card, scans):
    mixed = [replace(s, source="stack") for pair in zip(*scans.values(), strict=True) for s in pair]
    assert contrasts_of(mixed, None, card).mixed == ["stack"]
    assert any("more than one contrast" in told for told in contrasts_of(mixed, None, card).told())


def test_a_whole_stack_of_one_contrast_is_not_taken_for_two(card, shared_data):
    volume = read_volume(shared_data / "real_scans" / "ds000011_sub-01_T1w.nii.gz")
    count = len(volume.array)
    slices = [slice_of(volume, k) for k in range(count // 5, int(0.75 * count), count // 12)]
    assert contrasts_of(slices, None, card).mixed == []


def test_contrasts_of_one_visit_share_their_planes_and_images_of_one_contrast_have_to_agree(card, scans):
    planes = [s.plane for s in scans["T1w"]]
    flair = [replace(s, plane=p) for s, p in zip(scans["FLAIR"], planes, strict=True)]
    contrasts_of([*scans["T1w"], *flair], None, card).check_agree()
    other = [replace(s, pixels=s.pixels[:, ::-1], source="again") for s in scans["T1w"]]
    with pytest.raises(InputError, match="lie on the same plane but disagree"):
        contrasts_of([*scans["T1w"], *flair, *other], None, card).check_agree()
