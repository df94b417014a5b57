"""In which contrast a result is shown, and by which prior: what evidence chooses, on small heads."""

from dataclasses import replace

import numpy as np
import pytest
from priors.tissue_heads import T1W, T2W, fitted_parameters, head, scan

from SparseVolumeReconstructionLib.alignment.align import Alignment
from SparseVolumeReconstructionLib.alignment.contrast import Contrast
from SparseVolumeReconstructionLib.alignment.intensity import MonotoneMap
from SparseVolumeReconstructionLib.alignment.tissues import T1W as PICTURED
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.tissues import SHOWN_WIDENING, TissueContrast
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian
from SparseVolumeReconstructionLib.reconstruction import view as view_module
from SparseVolumeReconstructionLib.reconstruction.other_contrast import Contrasts
from SparseVolumeReconstructionLib.reconstruction.patient_posterior import condition_aligned
from SparseVolumeReconstructionLib.reconstruction.view import view_of

T1W_SCAN = TissueContrast(np.column_stack([800 * T1W, np.zeros((3, 2))]), np.full(3, 10.0))
PICTURE = TissueContrast(np.column_stack([1000 * PICTURED, np.zeros((3, 2))]), np.full(3, 10.0))
FOUND = Alignment(np.eye(4), MonotoneMap(np.array([0, 1000.0]), np.array([0, 1.0])), None, 0.8, {})


@pytest.fixture(scope="module")
def prior() -> StructuredGaussian:
    """Of small heads, and their tissues."""
    words = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")
    card = ModelCard(**dict.fromkeys(words, "test"), id="tiny", system="tiny")
    return StructuredGaussian(fitted_parameters(), card)


def series(name: str, contrast: TissueContrast, said: str, places=(2, 4, 6, 8)):
    """Slices of one head, the pictures of their tissues as T1w shows them, and what is said of them."""
    slices, pictures = (
        [replace(s, source=name) for s in scan(head(100), c, places)[1]] for c in (contrast, PICTURE)
    )
    told = Contrast({kind: float(kind == said) for kind in ("T1w", "T2w", "FLAIR")})
    return Contrasts(slices, pictures, {name: told}, [], [])


def test_the_prior_is_seen_in_the_contrast_of_the_slices(prior):
    scanned = series("scan", T2W, "T2w")
    view = view_of(prior, scanned, FOUND)
    assert view.by_tissues and view.told("scan") == [] and view.seen.gain > 20
    assert view.shown == view.slices and all(np.ptp(s.pixels) > 300 for s in view.slices)
    said = view.provenance()
    assert said["chosen"] == "tissues" and said["grey_values"]["csf"]["everywhere"] > 500
    mean = condition_aligned(view.prior, view.slices, view.alignment, grid=prior.grid).mean()
    truth, mask = scan(head(100), T2W)[0], prior.parameters.mask
    assert np.corrcoef(mean[mask], truth[mask])[0, 1] > 0.85
    again = view_of(prior, scanned, FOUND, view.seen.shades)
    assert again.prior is view.prior and again.seen.gain is None


@pytest.mark.parametrize(("scanned", "said", "wanted"), [(T2W, "T2w", "t1w"), (T1W_SCAN, "T1w", "t2w")])
def test_what_one_contrast_tells_is_shown_in_another(prior, monkeypatch, scanned, said, wanted):
    """By the tissues, in grey values of its own; and not where a series of that contrast is there."""
    monkeypatch.setitem(view_module.USUAL, "T2w", T2W.to_dict())
    first = replace(series("scan", scanned, said), show_as=wanted)
    view = view_of(prior, first, FOUND)
    assert view.shown == [] and first.observed(FOUND) == [] and view.prior is not prior
    assert view.prior.wider == SHOWN_WIDENING.get((said, first.wanted), 1.0)
    mean = condition_aligned(view.prior, view.slices, view.alignment, grid=prior.grid).mean()
    shows = T2W if wanted == "t2w" else T1W_SCAN
    truth, mask = scan(head(100), shows)[0], prior.parameters.mask
    assert np.corrcoef(mean[mask], truth[mask])[0, 1] > 0.85
    assert 0.8 < mean[mask].max() / 1000 < 1.3
    other = series("wanted", shows, wanted.replace("t", "T"), (3, 7))
    both = replace(
        first,
        slices=first.slices + other.slices,
        for_prior=first.for_prior + other.for_prior,
        found=first.found | other.found,
    )
    view = view_of(prior, both, FOUND)
    assert {s.source for s in view.shown} == {"wanted"} and both.first == "wanted"
    assert view.by_tissues is (wanted == "t2w") and "no voxel of scan is in it" in both.told()[-1]
    assert both.provenance()["found"] == f"{said}-like" and both.provenance()["shown_as"] == both.wanted


def test_of_a_whole_flair_the_network_is_told_once():
    """Where it is shown as T1w; not of few slices, nor where it is shown as it is."""
    few = replace(series("scan", T2W, "FLAIR"), show_as="t1w")
    whole = replace(few, slices=few.slices * 5)
    others = [few, replace(whole, show_as="own"), replace(whole, found={"scan": Contrast({"T2w": 1.0})})]
    told = [" ".join(each.told()).count("Convert contrast") for each in (whole, *others)]
    assert told == [1, 0, 0, 0]


def test_a_lesion_stays_where_it_was_observed(prior):
    """A spot as bright as fluid in white matter of one slice: kept there, and hardly copied further off."""
    scanned = series("scan", T2W, "T2w", (3,))
    known = T2W.to_dict()
    ill = scanned.slices[0].pixels.copy()
    spot = np.zeros(ill.shape, bool)
    spot[6:8, 6:8] = True
    ill[spot] += 500
    with_lesion = replace(scanned, slices=[replace(scanned.slices[0], pixels=ill)])
    both = [view_of(prior, one, FOUND, known) for one in (scanned, with_lesion)]
    means = [condition_aligned(v.prior, v.slices, v.alignment, grid=prior.grid).mean() for v in both]
    copied = np.abs(means[1] - means[0]) / 500
    assert means[1][3][spot].min() > means[0][3][spot].max()
    assert copied[3][spot].min() > 0.6
    assert copied[6:].max() < 0.3 and copied[6:][prior.parameters.mask[6:]].mean() < 0.1
    np.testing.assert_array_equal(both[1].shown[0].pixels, ill)


def test_evidence_overrules_what_was_taken_for_another_contrast(prior):
    """T1w that is said to be T2w stays with the prior that was fitted to T1w, and the user is told."""
    view = view_of(prior, series("scan", T1W_SCAN, "T2w"), FOUND)
    assert view.prior is prior and not view.by_tissues and view.seen.gain < 0
    assert "more probable as those of T1w" in view.told("scan")[0]
    assert view.provenance()["chosen"] == "T1w"
    assert view.alignment.to_patient(np.array([0.82])) == pytest.approx(0.82 * 800, rel=0.15)


def test_series_of_two_contrasts_are_one_head(prior):
    """The second is taken as the first would show its tissues, with noise; it is not observed."""
    first, second = series("first", T2W, "T2w", (2, 8)), series("second", T1W_SCAN, "T1w", (5,))
    both = Contrasts(
        first.slices + second.slices, first.for_prior + second.for_prior, first.found | second.found, [], []
    )
    view = view_of(prior, both, FOUND)
    assert view.by_tissues and {s.source for s in view.shown} == {"first"} and len(view.slices) == 3
    other = view.slices[-1]
    assert other.source == "second" and other.noise > 0 and float(other.pixels.max()) > 400
    truth, mask = scan(head(100), T2W)[0][5], prior.parameters.mask[5]
    means = [
        condition_aligned(view.prior, slices, view.alignment, grid=prior.grid).mean()[5]
        for slices in (view.slices, view.shown)
    ]
    joint, alone = (np.corrcoef(mean[mask], truth[mask])[0, 1] for mean in means)
    assert joint > alone
