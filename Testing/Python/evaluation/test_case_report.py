"""The page about one reconstruction: orientation of the pictures, numbers, and that it stands alone."""

import base64
import io
import re

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from SparseVolumeReconstructionLib.evaluation.case_figures import anatomical, centre_of
from SparseVolumeReconstructionLib.evaluation.case_report import (
    CaseReport,
    observed_slices,
    render,
    similarity,
    write_case_report,
)
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of

SHAPE, SEEN = (24, 30, 28), [6, 17]


@pytest.fixture
def case() -> CaseReport:
    """A ball with structure, of which two slices were observed."""
    k, j, i = (np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2) / 10
    truth = (np.clip(1.2 - k**2 - j**2 - i**2, 0, 1) * (800 + 150 * np.sin(6 * i) * np.cos(5 * k))).astype(
        np.float32
    )
    grid = Grid.centred(SHAPE, (2.0, 2.0, 3.0))
    distance = np.abs(np.arange(SHAPE[0])[:, None] - np.array(SEEN)).min(1)[:, None, None]
    rng = np.random.default_rng(0)
    observed = np.zeros(SHAPE, np.uint8)
    observed[SEEN] = 1
    blurred = (truth + 10 * distance * rng.normal(size=SHAPE)).astype(np.float32)
    return CaseReport(
        title="Ball & <box>",
        lead="From two slices.",
        grid=grid,
        mean=blurred,
        std=np.broadcast_to(10.0 * distance, SHAPE).astype(np.float32),
        observed=observed,
        samples=np.stack([blurred + n for n in range(4)]),
        slices=[slice_of(Volume(truth, grid), n) for n in SEEN],
        truth=truth,
        times={"reconstruction": 1.25},
        provenance={"prior": {"id": "ball", "sha256": "ab" * 32}, "seed": 3},
    )


def images(text: str) -> list[np.ndarray]:
    import matplotlib.image

    return [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(code)))
        for code in re.findall(r"data:image/png;base64,([^\"]+)", text)
    ]


def test_the_page_stands_alone_and_says_what_was_observed(case, tmp_path):
    write_case_report(case, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (
        not re.search(r"(src|href)=['\"](?!data:)", text) and "<script" not in text and "@import" not in text
    )
    assert "Ball &amp; &lt;box&gt;" in text and "<box>" not in text
    assert "8.3% of the voxels were <b>observed</b>" in text and "91.7% were <b>inferred</b>" in text
    assert "Not for diagnosis" in text and "ab" * 32 in text and "prior.sha256" in text and "1.25" in text
    pictures = images(text)
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.shape[1] > 300 and picture[..., :3].std() > 0.02


def test_without_truth_samples_and_slices_the_rest_remains(case):
    fields = {name: getattr(case, name) for name in ("title", "lead", "grid", "mean", "std", "observed")}
    text = render(CaseReport(**fields, samples=np.zeros((0, *SHAPE), np.float32), slices=[]))
    assert len(images(text)) == 1 and "Truth" not in text and "SSIM" not in text


def test_similarity_is_that_of_scikit_image_and_peaks_at_the_observed_slices(case):
    curves = similarity(case)
    scale = np.percentile(case.truth, 99.9)
    truth, mean = (np.clip(a / scale, 0, 1) for a in (case.truth, case.mean))
    expected = [
        structural_similarity(t, m, win_size=7, data_range=1.0) for t, m in zip(truth, mean, strict=True)
    ]
    assert np.allclose(curves["reconstruction"], expected, atol=1e-6)
    assert np.allclose(curves["reconstruction"][SEEN], 1.0) and np.allclose(
        curves["linear interpolation"][SEEN], 1.0, atol=1e-4
    )
    assert curves["linear interpolation"][12] < 0.95


def test_observed_slices_come_from_the_mask():
    mask = np.zeros((5, 4, 4), np.uint8)
    assert observed_slices(mask) == []
    mask[1], mask[3], mask[4, 0, 0] = 1, 1, 1
    assert observed_slices(mask) == [1, 3]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_pictures_are_turned_to_superior_anterior_right(order, signs):
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[:, list(order)] * np.array(signs) * np.array([1.0, 2.0, 3.0])
    grid = Grid((4, 5, 6), matrix)
    places = grid.points_ras().reshape(4, 5, 6, 3)
    for axis, ras in enumerate((2, 1, 0)):
        turned, spacing = anatomical(places[..., ras], grid)
        steps = np.diff(turned, axis=axis)
        assert np.allclose(steps, spacing[axis]) and spacing[axis] > 0


def test_an_oblique_grid_is_turned_to_its_nearest_axes():
    angle = np.radians(30)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    array = np.arange(24.0).reshape(2, 3, 4)
    assert np.array_equal(anatomical(array, Grid((2, 3, 4), matrix))[0], array)


def test_the_place_shown_lies_between_observed_slices():
    array, mask = np.zeros((30, 20, 20)), np.zeros((30, 20, 20), bool)
    array[:, 5:15, 5:15], mask[[5, 15, 25]] = 1.0, True
    assert centre_of(array, mask)[0] in (10, 11, 12, 18, 19, 20)
    assert centre_of(array, mask)[1:] == (10, 10)


def test_a_folder_that_is_not_there_is_one_clear_error(case, tmp_path):
    with pytest.raises(InputError, match="could not be written"):
        write_case_report(case, tmp_path / "missing" / "report.html")
