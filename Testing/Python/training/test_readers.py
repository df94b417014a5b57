"""./run train head-reader and fetal-reader as their users run them, and what the networks read then."""

import json

import numpy as np
import pytest
from training.label_maps import head

from SparseVolumeReconstructionLib.alignment.fetal import FetalReader
from SparseVolumeReconstructionLib.alignment.head import HeadReader
from SparseVolumeReconstructionLib.alignment.head_network import FIELD
from SparseVolumeReconstructionLib.alignment.reader import read_reader
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.training.readers.maps import (
    FLUID,
    OTHERS,
    OUTER,
    RINGS,
    SHADES,
    WHITE,
    load_fetuses,
    load_heads,
)
from SparseVolumeReconstructionLib.training.segmentation.maps import brain_of
from SparseVolumeReconstructionLib.training.segmentation.structures import MEANS


def looks(labels: Volume) -> Volume:
    """A T1w head of a label map: its brain, fluid, skull and skin."""
    brain = brain_of(labels)
    image = np.where(labels.array > 500, 0.35, np.where(labels.array == 24, 0.16, 0)).astype(np.float32)
    low = np.rint(labels.grid.ras_to_ijk @ brain.grid.ijk_to_ras[:, 3])[2::-1].astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(low, brain.array.shape, strict=True))
    inside = brain.array > 0
    image[box][inside] = MEANS[brain.array[inside].astype(int)]
    return Volume(image * 600, labels.grid)


@pytest.fixture(scope="module")
def reference(label_dir, tmp_path_factory):
    """A file with a brain as it would look."""
    brain = brain_of(head(0))
    path = tmp_path_factory.mktemp("reference") / "reference.nii.gz"
    write_volume(Volume(MEANS[brain.array.astype(int)], brain.grid), path)
    return path


@pytest.fixture(scope="module")
def config(reference):
    config = read_config("head-reader-tiny")
    return config.model_copy(update={"data": config.data.model_copy(update={"reference": str(reference)})})


@pytest.fixture(scope="module")
def atlas_dir(tmp_path_factory):
    """Four small brains as label maps, three of them with a template beside it."""
    folder = tmp_path_factory.mktemp("atlas")
    grid = Grid.centred((48, 48, 48), 2.5, (7.0, 0, 0))
    points = grid.points_ras().reshape(*grid.shape_kji, 3) - (7.0, 0, 0)
    for week in range(26, 30):
        away = np.sqrt(((points / (np.array([32, 38, 34]) * week / 28)) ** 2).sum(-1))
        labels = np.select([away < 0.35, away < 0.7, away < 0.85, away < 1], [2, 1, 5, 4], 0)
        write_volume(Volume(labels.astype(np.float32), grid), folder / f"GA{week}_labels.nii.gz")
        if week < 29:
            image = np.array([0, 140.0, 230, 0, 235, 90])[labels]
            write_volume(Volume(image.astype(np.float32), grid), folder / f"GA{week}_T2w.nii.gz")
    return folder


def run(system: str, config, cohort, folder) -> object:
    """The weights file that the command makes."""
    (folder / "config.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    out = folder / f"my-{system}"
    words = ["train", system, "--cohort", cohort, "--config", folder / "config.yaml", "--out", out]
    assert main([str(word) for word in words]) == 0
    return out / f"my-{system}.safetensors"


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_heads_of_all_kinds_become_codes(label_dir, config, tmp_path):
    """T1w heads with their maps beside them, and maps of both numberings, lie in one space."""
    (tmp_path / "muse").mkdir(), (tmp_path / "web").mkdir()
    for n in range(2):
        labels = head(n)
        fluid, white, other = (np.isin(labels.array, n) for n in ((4, 43), (2, 41, 16), (3, 42, 10, 49)))
        muse = np.select([fluid, white, other], [4, 81, 31], 0)
        skin, around = labels.array > 500, labels.array == 24
        web = np.select([fluid | around, other, white, skin], [1, 2, 3, 7], 0)
        write_volume(looks(labels), tmp_path / "muse" / f"p{n}_T1w.nii.gz")
        write_volume(Volume(muse.astype(np.float32), labels.grid), tmp_path / "muse" / f"p{n}_dlmuse.nii.gz")
        write_volume(Volume(web.astype(np.float32), labels.grid), tmp_path / "web" / f"w{n}.nii.gz")
    folders = [label_dir, tmp_path / "muse", tmp_path / "web"]
    split = {"fit": ["head0_seg", "p0_T1w", "w0"], "test": ["head1_seg", "p1_T1w", "w1"]}
    bodies = load_heads(folders, ["freesurfer", "dlmuse", "brainweb"], config, split, Progress())
    assert (
        bodies.names == {"fit": split["fit"], "validation": split["test"]} and "skull_seg" in bodies.skipped
    )
    codes, tissue = bodies.maps["fit"].numpy().swapaxes(0, 1)
    assert min(overlap(tissue[0] > 0, other > 0) for other in tissue) > 0.85
    assert min(overlap(tissue[0] == WHITE, other == WHITE) for other in tissue) > 0.6
    for n, (inside, outside) in enumerate(((range(1, 4), OTHERS), (SHADES, OUTER), (range(1, 4), OTHERS))):
        assert np.isin(codes[n][tissue[n] > 0], inside).all()
        assert np.isin(codes[n][tissue[n] == 0], [0, *outside]).all() and codes[n].max() in outside
    with pytest.raises(InputError, match='labels: "aseg" is not known; expected one of freesurfer'):
        load_heads(folders, ["aseg"], config, split, Progress())
    with pytest.raises(InputError, match="labels: 2 for 3 cohorts"):
        load_heads(folders, ["dlmuse", "brainweb"], config, split, Progress())


def test_a_head_reader_is_trained_and_reads(label_dir, config, tmp_path, capsys):
    path = run("head-reader", config, label_dir, tmp_path)
    reader = HeadReader(*read_reader(path))
    card = reader.card
    assert card.system == "head-reader" and len(card.split["fit"]) >= 4 and card.training["parameters"] > 7e5
    labels = head(11)
    image, brain = looks(labels), np.isin(labels.array, (2, 41, 3, 42, 4, 43, 10, 49, 16))
    shown = [slice_of(image, k, None, "head") for k in (20, 24, 28)]
    found = [r.brain > 0.5 for r in reader.read(shown)]
    dice = [overlap(mask, brain[s.volume_index]) for mask, s in zip(found, shown, strict=True)]
    assert min(dice) > 0.7, dice


def test_fetal_brains_lie_in_rings(atlas_dir):
    bodies = load_fetuses([atlas_dir], read_config("fetal-reader-tiny"), None, Progress())
    assert sorted(bodies.names["fit"] + bodies.names["validation"]) == [
        "GA26_T2w",
        "GA27_T2w",
        "GA28_T2w",
        "GA29_labels",
    ]
    for name, (codes, tissue) in zip(bodies.names["fit"], bodies.maps["fit"].numpy(), strict=True):
        inside = tissue > 0
        assert np.isin(codes[inside], range(1, 4) if "labels" in name else SHADES).all()
        assert np.isin(codes[~inside], RINGS).all() and codes[0, 0, 0] == RINGS[-1]
        middle = np.array(np.nonzero(inside)).mean(1) - (np.array(inside.shape) - 1) / 2
        assert np.abs(middle).max() < 1 and tissue[tuple(n // 2 for n in inside.shape)] == FLUID


def test_a_fetal_reader_is_trained_and_reads(atlas_dir, tmp_path):
    config = read_config("fetal-reader-tiny").model_copy(update={"steps": 8})
    path = run("fetal-reader", config, atlas_dir, tmp_path)
    reader = FetalReader(*read_reader(path))
    card = reader.card
    assert card.canonical_space == "any" and card.quality["made-up slices of those kept for validation"]
    noise = np.random.default_rng(0).random((3, 20, 20), np.float32)
    assert reader.read([slice_of(Volume(noise, Grid.centred((3, 20, 20), 4.0)), 1, None, "noise")])
    bodies = load_fetuses([atlas_dir], config, None, Progress())
    task = make_task(config)
    task.grid, random = bodies.grid, np.random.default_rng(5)
    made = [task.slice_of(bodies.maps["fit"][0].numpy(), random) for _ in range(12)]
    for one in made:
        assert one.images.shape == one.classes.shape == (FIELD, FIELD) and one.images.min() >= 0
        assert one.images.max() <= 1.5 and set(np.unique(one.classes)) <= {0, 1, 2, 3}
    shares = [float((one.classes > 0).mean()) for one in made]
    assert max(shares) > 0.1 and min(shares) == 0, "near and wide looks, with and without a brain"


def test_other_files_and_settings_are_refused(write_weights, config, label_dir, tmp_path, capsys):
    with pytest.raises(InputError, match="no network that reads slices"):
        read_reader(write_weights(tmp_path / "prior.safetensors"))
    changes = (
        {"augmentation": {"gamma": 0.3}},
        {"data": {"reference": None}},
        {"model": {"slices": {"turn": 3}}},
    )
    told = ("changed by model.slices alone", "heads need the space", 'unknown key "slices.turn"')
    for change, message in zip(changes, told, strict=True):
        (tmp_path / "config.yaml").write_text(json.dumps(config.model_dump(mode="json") | change))
        words = ["train", "head-reader", "--cohort", label_dir, "--config", tmp_path / "config.yaml"]
        assert main([str(w) for w in [*words, "--out", tmp_path / "out"]]) == 2
        assert message in capsys.readouterr().err
