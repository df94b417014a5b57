"""./run train segmentation as its users run it, and what it is made of: codes, registration, images, the
network.
"""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.segmentation.maps import brain_of, load_maps
from SparseVolumeReconstructionLib.training.segmentation.segmenter import Segmenter
from SparseVolumeReconstructionLib.training.segmentation.structures import (
    CLASSES,
    FLUID,
    MEANS,
    NAMES,
    TARGETS,
    coded,
)
from SparseVolumeReconstructionLib.training.segmentation.synthesis import SynthesisConfig, synthesise
from SparseVolumeReconstructionLib.training.segmentation.task import dice

STILL = {
    name: 0.0
    for name in ("deformation", "affine", "shift", "contrast", "texture", "gamma", "bias", "blur", "noise")
}
SHOWN = ("cerebral white matter", "cerebral cortex", "lateral ventricle", "thalamus", "brain stem")


@pytest.fixture(scope="module")
def reference(label_dir, tmp_path_factory):
    """A file with the first head as it would look."""
    brain = brain_of(read_volume(label_dir / "head0_seg.nii.gz"))
    path = tmp_path_factory.mktemp("reference") / "reference.nii.gz"
    write_volume(Volume(MEANS[brain.array.astype(int)], brain.grid), path)
    return path


@pytest.fixture(scope="module")
def config(reference):
    """The shipped trial in the space of the reference."""
    config = read_config("segmentation-64-tiny")
    return config.model_copy(update={"data": config.data.model_copy(update={"reference": str(reference)})})


@pytest.fixture(scope="module")
def maps(label_dir, config):
    return load_maps(label_dir, config, None, Progress())


def test_every_label_has_one_code():
    labels = [n for n in range(1000) if coded(np.array([n]))[0]]
    assert len(labels) == 44 and all(
        coded(np.array([n, n])).tolist() == [coded(np.array([n]))[0]] * 2 for n in labels
    )
    assert [coded(np.array([n]))[0] for n in (0, 2, 41, 60, 24, 507)] == [0, 1, 1, 15, FLUID, 0]
    assert len(MEANS) == len(TARGETS) == 19 and len(NAMES) == CLASSES - 1 == 15 and max(TARGETS) == 15


def test_a_brain_keeps_the_fluid_in_its_folds_alone():
    labels = np.full((30, 30, 30), 24.0, np.float32)  # 1 mm
    labels[:3] = 507
    labels[8:22, 8:22, 8:22] = 3
    labels[8:22, 8:22, 14:16] = 24  # a fold of 2 mm
    grid = Grid.centred(labels.shape, 1.0)
    codes = resample(brain_of(Volume(labels, grid)), grid, labels=True).array
    assert (codes[labels == 3] == 2).all() and (codes[labels == 507] == 0).all()
    assert (codes[11:19, 11:19, 14:16] == FLUID).all() and (codes == FLUID).sum() <= 14 * 14 * 2


def test_maps_are_registered_and_unusable_ones_named(maps, config):
    assert maps.skipped == {"skull_seg.nii.gz": "no brain in it; expected a map of FreeSurfer's labels."}
    assert [len(maps.names[part]) for part in ("fit", "validation")] == [4, 2] and maps.grid.shape_kji == (
        32,
        64,
        64,
    )
    classes = torch.as_tensor(TARGETS)[torch.cat(list(maps.maps.values())).long()]
    white = [float(dice(one, other)[0]) for one in classes for other in classes]
    assert min(white) > 0.85, white


def test_images_without_change_are_the_means(maps):
    codes = maps.maps["fit"][:2].long()
    images, classes = synthesise(codes, SynthesisConfig(**STILL, reduce=1), torch.Generator().manual_seed(0))
    means = torch.as_tensor(MEANS)[codes]
    assert torch.allclose(images, means / means.amax((1, 2, 3), keepdim=True), atol=1e-5)
    assert torch.equal(classes, torch.as_tensor(TARGETS)[codes])


def test_a_pixel_is_the_mean_of_what_it_covers_and_the_class_of_most():
    codes = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    codes[0, 0, :2, :2] = torch.tensor([[1, 1], [1, 3]])
    codes[0, 0, 2:, 2:] = 2
    images, classes = synthesise(codes, SynthesisConfig(**STILL), torch.Generator().manual_seed(0))
    white, cortex, fluid = MEANS[[1, 2, 3]]
    expected = torch.tensor([[(3 * white + fluid) / 4, 0], [0, cortex]])
    assert torch.allclose(
        images[0, 0], (expected / torch.quantile(expected[expected > 0], 0.999)).clamp(max=1), atol=1e-5
    )
    assert classes[0, 0].tolist() == [[1, 0], [0, 2]]


def test_images_vary_and_repeat_with_their_seed(maps):
    codes = maps.maps["fit"][:1].long()
    one, again, other = (
        synthesise(codes, SynthesisConfig(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])
    assert not torch.equal(one[1], other[1]) and float((one[0] - other[0]).abs().mean()) > 0.01
    for image, classes in (one, other):
        assert (
            image.shape == classes.shape == (1, 32, 32, 32)
            and float(image.min()) >= 0
            and float(image.max()) == 1
        )
        assert float(image[classes == 0].mean()) < 0.1 < float(image[classes == 1].mean())


def test_dice_is_that_of_a_count():
    one, other = torch.tensor([1, 1, 2, 0, 3]), torch.tensor([1, 2, 2, 2, 0])
    scores = dice(one, other)
    assert scores[:3].tolist() == pytest.approx([2 / 3, 0.5, 0.0]) and scores[3:].isnan().all()


@pytest.fixture(scope="module")
def trained(label_dir, config, tmp_path_factory):
    """The weights file of a trial."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "config.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    words = [
        "train",
        "segmentation",
        "--cohort",
        label_dir,
        "--config",
        folder / "config.yaml",
        "--out",
        folder / "heads",
    ]
    assert main([str(word) for word in words]) == 0
    return folder / "heads" / "heads.safetensors"


def test_what_is_trained_segments_a_brain_it_has_not_seen(trained, maps, label_dir):
    segmenter = Segmenter.load(trained, torch.device("cpu"))
    scores = segmenter.card.quality["Dice"]
    assert (
        segmenter.card.split == maps.names
        and scores["cerebral white matter"] > 0.7
        and set(scores) >= set(SHOWN)
    )
    assert segmenter.card.training["parameters"] > 0 and segmenter.grid.shape_kji == (32, 32, 32)
    codes = maps.maps["validation"][:1].long()
    images, classes = synthesise(codes, SynthesisConfig(**STILL), torch.Generator().manual_seed(0))
    found = segmenter(Volume(images[0].numpy(), segmenter.grid))
    assert found.array.dtype == np.uint8 and float(dice(torch.as_tensor(found.array), classes[0])[0]) > 0.75
    finer = resample(
        Volume(images[0].numpy(), segmenter.grid), segmenter.grid.with_spacing(segmenter.grid.spacing_ijk / 2)
    )
    again = segmenter(finer)
    assert (again.array == found.array).mean() > 0.93


def test_other_files_are_refused(trained, write_weights, tmp_path):
    (tmp_path / "text.safetensors").write_bytes(b"text")
    for path in (
        write_weights(tmp_path / "prior.safetensors"),
        tmp_path / "text.safetensors",
        tmp_path / "none.safetensors",
    ):
        with pytest.raises(InputError, match="no segmentation network"):
            Segmenter.load(path, torch.device("cpu"))
    with safe_open(trained, "pt") as file:
        assert json.loads(file.metadata()["card"])["system"] == "segmentation"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"features": [4, 4, 8, 8, 8, 4], "synthesis": {"blurr": 1}}},
            'unknown key "synthesis.blurr"; did you mean "blur"',
        ),
        ({"model": {"window": [32, 33]}}, "model: window: (32, 33); the images have 32 x 32 pixels"),
        (
            {"augmentation": {"deformation_mm": 1}},
            "augmentation: label maps are changed by model.synthesis alone",
        ),
        ({"data": {"size": 63, "slices": 32}}, "size: 63; expected a multiple"),
        (
            {"data": {"size": 64, "slices": 32, "reference": None}},
            'reference: none; label maps need the space of the images, "mni152"',
        ),
        ({"system": "slice-vae"}, "made for slice-vae"),
    ],
)
def test_wrong_configurations_are_one_clear_line(changes, message, config, label_dir, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(json.dumps(config.model_dump(mode="json") | changes))
    words = [
        "train",
        "segmentation",
        "--cohort",
        label_dir,
        "--config",
        tmp_path / "config.yaml",
        "--out",
        tmp_path / "run",
    ]
    assert main([str(word) for word in words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0], lines


def test_too_few_label_maps_are_refused(config, label_dir, tmp_path):
    (tmp_path / "skull_seg.nii.gz").write_bytes((label_dir / "skull_seg.nii.gz").read_bytes())
    (tmp_path / "head_seg.nii.gz").write_bytes((label_dir / "head0_seg.nii.gz").read_bytes())
    with pytest.raises(
        InputError,
        match=r"0 for fit and 1 for validation; expected at least one of each. skull_seg.nii.gz: no brain",
    ):
        load_maps(tmp_path, config, None, Progress())
