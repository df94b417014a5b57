"""Configurations: unknown keys are named with the nearest valid one, and shipped ones can be changed."""

import pytest

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.training.loop.config import (
    TrainConfig,
    differences,
    read_config,
)
from SparseVolumeReconstructionLib.training.loop.task import make_task

GOOD = "system: slice-vae\nsteps: 3\nbatch: 2\n"


@pytest.fixture
def read(tmp_path):
    """read(text): the configuration of a file with that text."""

    def read(text: str) -> TrainConfig:
        (tmp_path / "c.yaml").write_text(text)
        return read_config(tmp_path / "c.yaml")

    return read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "learning_rat: 1", 'unknown key "learning_rat"; did you mean "learning_rate"'),
        (GOOD + "augmentation: {gama: 1}", 'unknown key "augmentation.gama"; did you mean "gamma"'),
        (GOOD + "data: {slice: 1}", 'unknown key "data.slice"; did you mean "slices"'),
        (GOOD + "batch: 0", "batch: Input should be greater"),
        (GOOD + "precision: 16", "precision: Input should be '32' or 'bf16-mixed'"),
        ("steps: 3", "system: Field required"),
        ("- a", "expected keys and values"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(read, text, says):
    with pytest.raises(InputError) as caught:
        read(text)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_the_models_own_keys_are_checked_too(read):
    with pytest.raises(InputError, match='unknown key "latent_chanels"; did you mean "latent_channels"'):
        make_task(read(GOOD + "model: {latent_chanels: 3}"))
    with pytest.raises(InputError, match='system "slice-wae" is not known; expected one of slice-vae'):
        make_task(read(GOOD.replace("vae", "wae")))


def test_a_file_may_change_a_shipped_configuration(read):
    shipped, changed = (
        read_config("bruno-64-cpu"),
        read("preset: bruno-64-cpu\nmodel: {filters: 8}\nsteps: 7"),
    )
    assert differences(shipped.model_dump(), changed.model_dump()) == [
        "model.filters: 16 -> 8",
        "steps: 8000 -> 7",
    ]
    with pytest.raises(InputError, match="bruno-64-cpi: no such file, nor one of the shipped"):
        read("preset: bruno-64-cpi")


def test_missing_files(tmp_path):
    with pytest.raises(
        InputError, match="no such file, nor one of the shipped configurations .*slice-vae-64-cpu"
    ):
        read_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "name", [f"slice-vae-{name}" for name in ("64-tiny", "64-cpu", "64-gpu", "128-gpu", "256-gpu")]
)
def test_shipped_configurations_make_their_task(name):
    assert make_task(read_config(name)).networks


def test_differences_name_what_changed():
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}) == [
        "a.c: 2 -> 4",
        "d: 3 -> None",
        "e: None -> 5",
    ]
