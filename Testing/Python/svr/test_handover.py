"""The hand-over to SVRTK, NeSVoR and NiftyMIC: files in place for every orientation, command lines that a
shell reads back.
"""

import itertools
import shlex
import struct
from gzip import decompress

import numpy as np
import pytest
import SimpleITK as sitk

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.image import to_image
from SparseVolumeReconstructionLib.svr.handover import NESVOR, NIFTYMIC, SVRTK, Stack, write_handover

TOLERANCE_MM = 1e-4
OBLIQUE = np.array(sitk.Euler3DTransform((0, 0, 0), 0.4, -0.3, 0.9).GetMatrix()).reshape(3, 3)
DIRECTIONS = [
    *(np.diag(signs) for signs in itertools.product([1, -1], repeat=3)),
    OBLIQUE,
    OBLIQUE @ np.diag([1, 1, -1]),
]


def volumes(direction=OBLIQUE, spacing=1.2, shape=(7, 9, 11)) -> tuple[Volume, Volume]:
    """A template and its mask."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.asarray(direction) * spacing, (-71.3, 88.1, 153.7)
    array = np.random.default_rng(0).random(shape, np.float32) * 900
    return Volume(array, Grid(shape, matrix)), Volume((array > 300).astype(np.float32), Grid(shape, matrix))


def nifti_matrices(path) -> list[np.ndarray]:
    """sform and qform of a NIfTI-1 file, 4x4 RAS mm, read from its bytes as the standard says."""
    header = decompress(path.read_bytes())[:348]
    q_code, s_code = struct.unpack("<2h", header[252:256])
    assert q_code > 0 and s_code > 0
    sform = np.vstack([np.array(struct.unpack("<12f", header[280:328])).reshape(3, 4), [0, 0, 0, 1]])
    b, c, d, *shift = struct.unpack("<6f", header[256:280])
    factor, *spacing = struct.unpack("<4f", header[76:92])
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    qform = np.eye(4)
    qform[:3, :3], qform[:3, 3] = turn * spacing * [1, 1, -1 if factor < 0 else 1], shift
    return [sform, qform]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_files_lie_where_the_template_lies(tmp_path, direction):
    template, mask = volumes(direction)
    done = write_handover(template, mask, [], tmp_path)
    for path, volume in ((done.template, template), (done.mask, mask)):
        image, expected = sitk.ReadImage(str(path)), to_image(volume)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.array)
        for index in ((0, 0, 0), (10, 0, 0), (0, 8, 0), (0, 0, 6), (10, 8, 6)):
            place = expected.TransformIndexToPhysicalPoint(index)
            assert np.abs(np.subtract(image.TransformIndexToPhysicalPoint(index), place)).max() < TOLERANCE_MM
            for matrix in nifti_matrices(path):
                assert (
                    np.abs((matrix @ [*index, 1])[:3] - np.multiply(place, [-1, -1, 1])).max() < TOLERANCE_MM
                )
    assert sitk.ReadImage(str(done.template)).GetPixelID() == sitk.sitkFloat32
    assert sitk.ReadImage(str(done.mask)).GetPixelID() == sitk.sitkUInt8


def options(command: str) -> tuple[list[str], dict[str, list[str]]]:
    """What a shell makes of a command line: the words before the first option, and the values of each
    option.
    """
    words, found = [], {}
    for word in shlex.split(command.replace("\\\n", "")):
        if word.startswith("-"):
            assert word not in found
            found[word] = []
        else:
            (list(found.values())[-1] if found else words).append(word)
    return words, found


def test_the_command_lines_have_the_options_of_each_tool(tmp_path):
    folder = tmp_path / "it's a folder with $HOME"
    stacks = [Stack(folder / "axial 1.nii.gz", 3.0), Stack(str(folder / "coronal.nii"), 2.5)]
    done = write_handover(*volumes(), stacks, folder, resolution_mm=0.75)
    template, mask, files = str(done.template), str(done.mask), [str(stack.path) for stack in stacks]
    assert list(done.commands) == list(done.notes) == [SVRTK, NESVOR, NIFTYMIC]
    assert options(done.commands[SVRTK]) == (
        ["mirtk", "reconstruct", str(folder / "svrtk.nii.gz"), "2", *files],
        {
            "-template": [template],
            "-mask": [mask],
            "-thickness": ["3", "2.5"],
            "-resolution": ["0.75"],
            "-svr_only": [],
        },
    )
    assert options(done.commands[NESVOR]) == (
        ["nesvor", "reconstruct"],
        {
            "--input-stacks": files,
            "--thicknesses": ["3", "2.5"],
            "--volume-mask": [mask],
            "--sample-mask": [mask],
            "--scanner-space": [],
            "--output-resolution": ["0.75"],
            "--output-volume": [str(folder / "nesvor.nii.gz")],
        },
    )
    assert options(done.commands[NIFTYMIC]) == (
        ["niftymic_reconstruct_volume"],
        {
            "--filenames": files,
            "--slice-thicknesses": ["3", "2.5"],
            "--reference": [template],
            "--reference-mask": [mask],
            "--isotropic-resolution": ["0.75"],
            "--output": [str(folder / "niftymic.nii.gz")],
        },
    )


def test_the_text_file_is_a_script_of_comments_and_the_same_commands(tmp_path):
    done = write_handover(*volumes(), [Stack("a b.nii.gz", 3.0)], tmp_path / "new" / "folder")
    text = (tmp_path / "new" / "folder" / "commands.txt").read_text(encoding="utf-8")
    for tool, command in done.commands.items():
        assert f"# {tool}: {done.notes[tool]}\n{command}\n" in text and "\n" not in done.notes[tool]
    code = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert shlex.split(code.replace("\\\n", "")) == [
        word for c in done.commands.values() for word in shlex.split(c.replace("\\\n", ""))
    ]
    assert {path.name for path in done.template.parent.iterdir()} == {
        "template.nii.gz",
        "template_mask.nii.gz",
        "commands.txt",
    }


def test_without_stacks_placeholders_are_marked(tmp_path):
    done = write_handover(*volumes(), [], tmp_path)
    assert options(done.commands[NESVOR])[1]["--thicknesses"] == ["THICKNESS-1", "THICKNESS-2", "THICKNESS-3"]
    for tool, command in done.commands.items():
        assert (
            "stack-1.nii.gz stack-2.nii.gz stack-3.nii.gz" in command
            and "replace stack-1.nii.gz" in done.notes[tool]
        )
    again = write_handover(*volumes(), [Stack("a.nii", 3.0)], tmp_path)
    assert not any("stack-1" in text for text in [*again.commands.values(), *again.notes.values()])


def test_wrong_input_is_refused_in_one_line_and_nothing_is_left(tmp_path):
    template, mask = volumes()
    (tmp_path / "file").write_text("here already")
    empty, elsewhere = Volume(mask.array * 0, mask.grid), volumes(spacing=1.3)[1]
    for says, call in {
        "file/out: the template could not be written": lambda: write_handover(
            template, mask, [], tmp_path / "file" / "out"
        ),
        "file: the template could not be written": lambda: write_handover(
            template, mask, [], tmp_path / "file"
        ),
        "no voxel is inside": lambda: write_handover(template, empty, [], tmp_path / "out"),
        "expected one grid": lambda: write_handover(template, elsewhere, [], tmp_path / "out"),
        "resolution 0 mm": lambda: write_handover(template, mask, [], tmp_path / "out", 0),
        "save the stack as .nii.gz": lambda: Stack("stack.nrrd", 3.0),
        "thickness 0 mm": lambda: Stack("stack.nii", 0),
        "thickness nan mm": lambda: Stack("stack.nii", float("nan")),
    }.items():
        with pytest.raises(InputError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_way_of_a_file_is_one_line(tmp_path):
    (tmp_path / "template_mask.nii.gz").mkdir()
    with pytest.raises(InputError, match="could not be written"):
        write_handover(*volumes(), [], tmp_path)
