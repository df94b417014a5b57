"""Masks of the brain: found in whole stacks and written to be corrected, compared, and kept to once given."""

import json

import numpy as np
import pytest
from alignment.pregnancy import Pregnancy

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Folder of a stack and its true brain mask; in slice 12 the head had moved."""
    folder = tmp_path_factory.mktemp("pregnancy")
    for name, volume in zip(("stack", "manual"), Pregnancy().stack({12: np.array([0, 8.0, 0])}), strict=True):
        write_volume(volume, folder / f"{name}.nrrd")
    return folder


def reconstructed(folder, context, *words) -> dict:
    """The result.json of slices of a fetus, rough."""
    done = main(
        [
            *(
                "reconstruct",
                "--prior",
                "fetal-t2",
                "--context",
                context,
                "--spacing",
                "4",
                "--outputs",
                "mean",
            ),
            *("--gestational-age", "29", "--frame", "registered", "--device", "cpu"),
            *("--output", str(folder), *words),
        ]
    )
    assert done == 0
    return json.loads((folder / "result.json").read_text())


def test_a_mask_lies_on_the_grid_of_its_stack(stack, capsys):
    words = ["mask", "--prior", "fetal-t2", "--context", str(stack / "stack.nrrd")]
    words += ["--compare", str(stack / "manual.nrrd"), "--output", str(stack / "mask.nrrd")]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    mask, whole = read_volume(stack / "mask.nrrd"), read_volume(stack / "stack.nrrd")
    assert set(np.unique(mask.array)) == {0, 1} and np.allclose(mask.grid.ijk_to_ras, whole.grid.ijk_to_ras)
    assert "24 slices" in said[0] and f"{mask.array.sum() * 0.016:.0f} ml" in said[0]
    proposal = [int(k) for k in said[1].rpartition(" ")[2].split(",")]
    assert len(proposal) == 4 and 12 not in proposal
    assert "Dice with manual.nrrd: 0.8" in said[2] or (
        "Dice with manual.nrrd: 0.9" in said[2] and said[3] == str(stack / "mask.nrrd")
    )


def test_the_stacks_of_a_visit_are_masked_together(stack, tmp_path, capsys, refused):
    """Each on its own grid, in the order that was given; the numbers of files have to agree."""
    array, grid = (whole := read_volume(stack / "stack.nrrd")).array[:20], whole.grid
    write_volume(Volume(array, Grid(array.shape, grid.ijk_to_ras)), tmp_path / "shorter.nrrd")
    words = ["mask", "--prior", "fetal-t2"]
    for name in (stack / "stack.nrrd", tmp_path / "shorter.nrrd"):
        words += ["--context", str(name), "--output", str(tmp_path / f"{name.stem}-mask.nrrd")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.index("of 24 slices") < said.index("stack-mask.nrrd") < said.index("of 20 slices")
    first, second = (read_volume(tmp_path / f"{name}-mask.nrrd").array for name in ("stack", "shorter"))
    assert len(second) == 20 and (first[:20] != second).mean() < 0.005 and second.any()
    refused(*words[:-2], says=["one for each"])
    refused(*words, "--compare", stack / "manual.nrrd", says=["one for each"])
    refused(*words[:-1], words[6], says=["name of its own"])
    twice = [*words[:7], *words[3:5], "--output", str(tmp_path / "other.nrrd")]
    refused(*twice, says=["given twice"])


def test_slices_of_mother_and_fetus_are_masked(stack, tmp_path):
    found = reconstructed(tmp_path, f"{stack / 'stack.nrrd'}:7,10,13,16")
    assert any("mother and fetus" in warning for warning in found["warnings"])
    assert not any("background" in warning for warning in found["warnings"])
    assert (tmp_path / "brain_mask.nrrd").exists()


def test_a_given_mask_is_kept_to(stack, tmp_path):
    given = reconstructed(tmp_path, str(stack / "stack.nrrd"), "--mask", str(stack / "manual.nrrd"))
    assert not any("found" in warning or "background" in warning for warning in given["warnings"])
    assert (tmp_path / "brain_mask.nrrd").exists()
    mask = read_volume(stack / "manual.nrrd").array
    motion = given["motion"][str(stack / "stack.nrrd")]
    assert set(motion["slices"]) == {str(k) for k in np.flatnonzero(mask.any((1, 2)))}
    assert motion["slices"]["12"]["area_mm2"] == mask[12].sum() * 4
    assert not motion["slices"]["12"]["together"] and len(motion["proposed"]) == 4


def test_a_mask_that_is_empty_is_refused(stack, tmp_path, refused):
    whole = read_volume(stack / "stack.nrrd")
    write_volume(Volume(np.zeros(whole.array.shape, np.uint8), whole.grid), tmp_path / "empty.nrrd")
    words = ("--prior", "fetal-t2", "--context", stack / "stack.nrrd", "--mask", tmp_path / "empty.nrrd")
    refused("reconstruct", *words, "--output", tmp_path / "out", says=["mask is empty"])


def both(folder, brains) -> list[list]:
    """Commands that are given the stack of a pregnancy with that many brains."""
    write_volume(Pregnancy().stack(brains=brains)[0], folder / "stack.nrrd")
    stack = ["--prior", "fetal-t2", "--context", folder / "stack.nrrd"]
    rough = ["--spacing", "4", "--outputs", "mean", "--gestational-age", "29", "--frame", "registered"]
    return [
        ["mask", *stack, "--output", folder / "mask.nrrd"],
        ["reconstruct", *stack, *rough, "--device", "cpu", "--output", folder / "out"],
    ]


def test_a_stack_without_a_brain_is_refused_by_every_command(tmp_path, refused):
    for words in both(tmp_path, 0):
        refused(*words, says=["No brain was found"])
    assert not (tmp_path / "mask.nrrd").exists() and not (tmp_path / "out").exists()


def test_twins_are_told_by_every_command(tmp_path, capsys):
    for words in both(tmp_path, 2):
        assert main([*map(str, words)]) == 0
        assert "a second brain seems to be in view (twins?)" in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_masked_is_refused(stack, tmp_path, refused):
    whole, mask = (read_volume(stack / f"{name}.nrrd") for name in ("stack", "manual"))
    refused(
        *("mask", "--prior", "fetal-t2", "--context", stack / "stack.nrrd"),
        *("--output", tmp_path / "none" / "mask.nrrd"),
        says=["folder"],
    )
    write_volume(Volume(whole.array * mask.array, whole.grid), tmp_path / "bare.nrrd")
    words = ("mask", "--prior", "fetal-t2", "--context", tmp_path / "bare.nrrd")
    refused(*words, "--output", tmp_path / "m.nrrd", says=["nothing around the brain"])
