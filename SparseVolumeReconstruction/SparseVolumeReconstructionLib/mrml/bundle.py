"""The scene as one .mrb file. MRML writes what is quick; voxels are packed beside it, in any thread."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import slicer
import slicer.util
import vtk

from ..geometry import InputError
from .nodes import file_stem

_CHUNK = 1 << 22  # bytes that are packed at a time


def save_bundle(scene: slicer.vtkMRMLScene, path: str | Path) -> None:
    """Write the scene and the data of all its nodes as one .mrb file, atomically.

    Args:
        scene: stays as it is.
        path: the .mrb file; its folder exists.

    Raises:
        InputError: when it cannot.
    """
    prepare_bundle(scene, path)()


def prepare_bundle(scene: slicer.vtkMRMLScene, path: str | Path) -> Callable[[], None]:
    """Write the scene into a folder beside `path`, its volumes and their sequences without their voxels.

    Args:
        scene: stays as it is.
        path: the .mrb file; its folder exists.

    Returns:
        What packs all into the file, in any thread.

    Raises:
        InputError: when it cannot; then, and when it is packed, the folder is gone.
    """
    path = Path(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=path.parent))
        (folder / path.stem / "Data").mkdir(parents=True)
    except OSError as error:
        raise _unwritten(path) from error
    try:
        voxels = _write_scene(scene, folder / path.stem)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _unwritten(path) from error
    return partial(_pack, folder, voxels, path)


def _write_scene(scene: slicer.vtkMRMLScene, inside: Path) -> dict[Path, list[np.ndarray]]:
    """Write the scene file and the data of its nodes; the scene stays as it is.

    Returns the voxels (K, J, I) that belong into files in which one stands for all. Raises OSError.
    """
    voxels: dict[Path, list[np.ndarray]] = {}
    with contextlib.ExitStack() as restored:
        output = vtk.vtkOutputWindow.GetInstance()
        restored.callback(output.SetDisplayMode, output.GetDisplayMode())
        output.SetDisplayModeToNever()  # it would list every file that it writes
        for setter, old, new in (
            (scene.SetRootDirectory, scene.GetRootDirectory(), str(inside)),
            (scene.SetURL, scene.GetURL(), str(inside / f"{inside.name}.mrml")),
        ):
            restored.callback(setter, old)
            setter(new)
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode", scene):
            if not node.GetSaveWithScene():
                continue
            if node.GetStorageNode() is None:
                node.AddDefaultStorageNode()  # says that it did even where a node needs none
            storage = node.GetStorageNode()
            images = _images(node)
            if storage is None:
                continue
            restored.callback(storage.SetFileName, storage.GetFileName())
            restored.callback(storage.SetUseCompression, storage.GetUseCompression())
            storage.SetUseCompression(False)
            path = _unused(inside / "Data", node.GetName(), storage.GetDefaultWriteFileExtension())
            storage.SetFileName(str(path))
            if not storage.WriteData(_stand_in(node) if images else node):
                raise OSError(f"{node.GetName()}: could not be written")
            if images:
                voxels[path] = [slicer.util.arrayFromVolume(image) for image in images]
        if not scene.Commit():
            raise OSError("the scene could not be written")
    return voxels


def _unused(folder: Path, name: str, extension: str) -> Path:
    """A path in a folder that no file has, called like a node."""
    names = itertools.chain([file_stem(name)], (f"{file_stem(name)}_{n}" for n in itertools.count(2)))
    return next(path for each in names if not (path := folder / f"{each}.{extension}").exists())


def _images(node) -> list:
    """The volume nodes whose voxels, one after the other, are the data of a node.

    None where MRML writes it as a whole.
    """
    found = [node]
    if node.IsA("vtkMRMLSequenceNode"):
        found = [node.GetNthDataNode(n) for n in range(node.GetNumberOfDataNodes())]
    plain = all(
        each.GetClassName() in ("vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode")
        and each.GetImageData() is not None
        and each.GetImageData().GetNumberOfScalarComponents() == 1
        for each in found
    )
    return found if plain and len({_form(each) for each in found}) == 1 else []


def _form(volume) -> tuple:
    """What all volumes of one file have in common: voxels, type and geometry."""
    image = volume.GetImageData()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return image.GetDimensions(), image.GetScalarType(), slicer.util.arrayFromVTKMatrix(matrix).tobytes()


def _stand_in(node):
    """A node outside the scene that is written like this one, with one voxel instead of every image."""
    stand_in = node.CreateNodeInstance()
    stand_in.UnRegister(None)
    stand_in.SetName(node.GetName())
    for word in node.GetAttributeNames():
        stand_in.SetAttribute(word, node.GetAttribute(word))
    if not node.IsA("vtkMRMLSequenceNode"):
        voxel = vtk.vtkImageData()
        voxel.SetDimensions(1, 1, 1)
        voxel.AllocateScalars(node.GetImageData().GetScalarType(), 1)
        stand_in.CopyOrientation(node)
        stand_in.SetAndObserveImageData(voxel)
        return stand_in
    stand_in.SetIndexName(node.GetIndexName())
    stand_in.SetIndexUnit(node.GetIndexUnit())
    stand_in.SetIndexType(node.GetIndexType())
    for n in range(node.GetNumberOfDataNodes()):
        stand_in.SetDataNodeAtValue(_stand_in(node.GetNthDataNode(n)), node.GetNthIndexValue(n))
    return stand_in


def _pack(folder: Path, voxels: dict[Path, list[np.ndarray]], path: Path) -> None:
    try:
        with zipfile.ZipFile(folder / path.name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for file in sorted(file for file in (folder / path.stem).rglob("*") if file.is_file()):
                if file in voxels:
                    _pack_voxels(packed, file, str(file.relative_to(folder)), voxels[file])
                else:
                    packed.write(file, file.relative_to(folder))
        os.replace(folder / path.name, path)
    except OSError as error:
        raise _unwritten(path) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pack_voxels(packed: zipfile.ZipFile, file: Path, name: str, images: list[np.ndarray]) -> None:
    """Add an NRRD file of one voxel as one that has those of the images (K, J, I) instead."""
    header = file.read_bytes().split(b"\n\n")[0] + b"\n\n"
    sizes = " ".join(map(str, images[0].shape[::-1])).encode()
    header = re.sub(rb"^sizes: 1 1 1", b"sizes: " + sizes, header, count=1, flags=re.MULTILINE)
    entry = zipfile.ZipInfo.from_file(file, name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.file_size = len(header) + sum(image.nbytes for image in images)  # zip wants to know what is large
    with packed.open(entry, "w") as target:
        target.write(header)
        for image in images:
            flat = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
            for start in range(0, flat.size, _CHUNK):
                target.write(flat[start : start + _CHUNK].data)


def _unwritten(path: Path) -> InputError:
    return InputError(f"{path}: the scene could not be written; check the folder and the space on the disk.")
