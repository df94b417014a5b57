"""Table 1 and the realistic atlas score on small heads, with a structured Gaussian that is fitted to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy.ndimage import gaussian_filter
from training.label_maps import head

from SparseVolumeReconstructionLib.experiments import atlases, volumes
from SparseVolumeReconstructionLib.experiments.base import EXPERIMENTS, Setting
from SparseVolumeReconstructionLib.experiments.generated import (
    ATLAS,
    PCA,
    REAL,
    generate,
    pca_samples,
    with_slices,
)
from SparseVolumeReconstructionLib.experiments.models import GAUSSIAN, POPULATIONS, Models
from SparseVolumeReconstructionLib.experiments.report import write_findings
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.segmentation.maps import brain_of
from SparseVolumeReconstructionLib.training.segmentation.structures import MEANS, NAMES
from SparseVolumeReconstructionLib.training.segmentation.task import dice

NAMES_OF_HEADS = [f"head{n}" for n in range(11)]
SPLIT = {"fit": NAMES_OF_HEADS[:8], "test": NAMES_OF_HEADS[8:]}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Images of eleven heads, and label maps of four others."""
    root = tmp_path_factory.mktemp("heads")
    for part in ("heads", "labels"):
        (root / part).mkdir()
    for n, name in enumerate(NAMES_OF_HEADS):
        brain = brain_of(head(100 + n))
        codes = np.pad(brain.array.astype(int), 2)
        image = gaussian_filter(
            MEANS[codes] + np.random.default_rng(n).normal(0, 0.02, codes.shape) * (codes > 0), 0.4
        )
        matrix = brain.grid.ijk_to_ras.copy()
        matrix[:3, 3] -= matrix[:3, :3] @ [2, 2, 2]
        write_volume(
            Volume(np.where(image > 0.05, 200 * image, 0).astype(np.float32), Grid(image.shape, matrix)),
            root / "heads" / f"{name}.nii.gz",
        )
    for n in range(4):
        write_volume(head(n), root / "labels" / f"person{n}_seg.nii.gz")
    return root


@pytest.fixture(scope="module")
def setting(folders, tmp_path_factory):
    """A trial whose models are a structured Gaussian and a segmentation network, and that trains no more."""
    folder = tmp_path_factory.mktemp("models")
    population = POPULATIONS["brain-t1"]
    models = Models(folder, population, [folders / "heads"], SPLIT, "tiny", "cpu", True, Progress())
    data = {"cohort": folders / "heads", "labels": folders / "labels"}
    setting = Setting(data, tmp_path_factory.mktemp("out"), "cpu", models, True, Progress(), samples=2)
    models.several([GAUSSIAN])
    atlases.find_segmenter(setting, Progress())
    models.may_train = False
    return setting


@pytest.fixture(scope="module")
def generated(setting):
    return generate(setting)


def test_sets_are_on_one_grid_and_in_range(generated):
    assert (
        set(generated.sets) == {GAUSSIAN, PCA, ATLAS, REAL}
        and generated.systems == [GAUSSIAN]
        and generated.subjects == SPLIT["test"]
    )
    shape = generated.grid.shape_kji
    for volumes_of in [generated.test, *generated.sets.values()]:
        assert volumes_of.shape[1:] == shape and volumes_of.dtype == torch.float32
        assert float(volumes_of.min()) >= 0 and float(volumes_of.max()) <= 1
    assert len(generated.sets[GAUSSIAN]) == 10 and len(generated.sets[REAL]) == 8 and len(generated.test) == 3
    centre = generated.sets[REAL].mean(0)
    apart = float(((generated.sets[GAUSSIAN].mean(0) - centre) ** 2).mean().sqrt())
    assert 0 < apart < 0.05 < float(centre.max())


def test_fewer_slices_fill_the_same_box():
    grid = Grid.centred((120, 64, 64), (3.0, 3.0, 1.0), (1, 2, 3))
    fewer = with_slices(grid, 64)
    assert fewer.shape_kji == (64, 64, 64) and fewer.spacing_ijk == pytest.approx([3, 3, 1.875])
    assert np.allclose(fewer.corners_ras().mean(0), grid.corners_ras().mean(0), atol=1e-4)


def test_pca_samples_have_the_mean_and_covariance_of_the_fitted():
    fitted = 0.5 + 0.03 * torch.randn(5, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    drawn = pca_samples(fitted, 40000, torch.Generator().manual_seed(1)).flatten(1)
    assert torch.allclose(drawn.mean(0), fitted.mean(0).flatten(), atol=1e-3)
    assert torch.allclose(drawn.T.cov(), fitted.flatten(1).T.cov(), atol=5e-5)


@pytest.fixture(scope="module")
def table1(setting):
    return volumes.table1(setting)


def test_table_1_measures_every_set_beside_the_printed_numbers(table1, setting):
    main, parts, models = table1.tables
    rows = {row[0]: row[1:] for row in main.rows}
    assert set(rows) == {GAUSSIAN, PCA, ATLAS, REAL, f"{REAL}, HCP (printed)"} and all(
        len(row) == len(main.header) for row in main.rows
    )
    assert (
        rows[f"{REAL}, HCP (printed)"][4] == 0.8786
        and rows[ATLAS][5] == 0
        and rows[ATLAS][3] == pytest.approx(1, abs=1e-3)
    )
    for name in (GAUSSIAN, PCA, REAL):
        printed, mmd, error, similar, similar_printed, difference = rows[name][:6]
        assert printed > 0 and error > 0 and 0 < similar < 1 and 0 < similar_printed < 1 and difference > 0.01
        assert abs(mmd) < 1
    assert abs(rows[REAL][1]) < 3 * rows[REAL][2]
    for row in parts.rows:
        assert row[4] == pytest.approx(sum(row[1:4])) and row[5] == pytest.approx(row[4], rel=0.35)
    assert any("left out" in str(row[1]) for row in models.rows)
    assert setting.models.left_out.keys() >= {"slice-vae", "alpha-wgan"}


def test_the_samples_are_pictured(table1, tmp_path):
    (tmp_path / "picture.png").write_bytes(table1.figures[0].png)
    picture = imread(tmp_path / "picture.png")
    assert picture.shape[1] > 400 and picture.shape[0] > 200 and picture[..., :3].std() > 0.1


@pytest.fixture(scope="module")
def ras(setting):
    return atlases.ras(setting)


def test_the_score_of_real_pairs_is_high_and_written(ras, setting):
    table, learned, models = ras.tables
    rows = {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}
    bound = f"{REAL} (upper bound)"
    assert list(rows)[:15] == list(NAMES) and all(
        value is None or 0 <= value <= 1 for row in list(rows.values())[:16] for value in row.values()
    )
    assert rows["cerebral white matter"][bound] > 0.7 and 0 < rows["mean"][GAUSSIAN] <= 1
    assert rows[f"minus {REAL}"][bound] == 0
    assert dict(learned.rows)["cerebral white matter"] > 0.6 and "segmentation" in [
        row[0] for row in models.rows
    ]
    report = write_findings(ras, setting)
    assert report.is_file() and "Realistic atlas score" in (report.parent / "report.md").read_text()


def test_a_volume_that_is_moved_scores_as_itself(setting, generated):
    segmenter = atlases.find_segmenter(setting, Progress())
    real = Volume(generated.test[0].numpy(), generated.grid)
    matrix = np.eye(4)
    matrix[:3, 3] = [8, -5, 4]
    moved = Volume(real.array, Grid(real.grid.shape_kji, matrix @ real.grid.ijk_to_ras))
    classes = segmenter(real)
    score = atlases.realistic_atlas_score(segmenter, moved, real, classes)
    unmoved = dice(torch.as_tensor(segmenter(moved).array), torch.as_tensor(classes.array))
    assert float(score[0]) > 0.85 and float(score[0]) > float(unmoved[0]) + 0.05


def test_without_a_segmentation_network_nothing_is_scored(setting, tmp_path):
    models = replace(setting.models, folder=tmp_path)
    with pytest.raises(InputError, match="no brain-t1-segmentation.safetensors in .*training was not wanted"):
        atlases.find_segmenter(replace(setting, models=models), Progress())


def test_too_few_subjects_are_refused(setting):
    models = replace(setting.models, split={"fit": SPLIT["fit"], "test": SPLIT["test"][:2]})
    with pytest.raises(InputError, match="2 test subjects can be used; expected at least 3"):
        generate(replace(setting, models=models))


def test_both_experiments_are_known():
    assert (
        EXPERIMENTS["001-table1"].function() is volumes.table1
        and EXPERIMENTS["001-ras"].function() is atlases.ras
    )
    assert list(EXPERIMENTS["001-ras"].data) == ["cohort", "labels"]
