"""A real MRML scene outside the Slicer application (slicer-core), for the demonstration and the tests."""

from __future__ import annotations

import tempfile
import types

import slicer
import slicer.util
import vtk

_kept: list = []


def headless_scene() -> slicer.vtkMRMLScene:
    """Make a scene with its application and module logics the current one, `slicer.mrmlScene`.

    Returns the scene.

    For processes without the Slicer application only.
    """
    output = vtk.vtkOutputWindow()
    output.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(output)
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    temporary = tempfile.TemporaryDirectory(prefix="svr-scene-")
    application.SetTemporaryPath(temporary.name)
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    _add_inferno(scene)
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # the application's color module does it
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    logics = {
        "Volumes": slicer.vtkSlicerVolumesLogic(),
        "Sequences": slicer.vtkSlicerSequencesLogic(),
        "Transforms": slicer.vtkSlicerTransformLogic(),
        "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic(),
    }
    for name, logic in logics.items():
        logic.SetMRMLScene(scene)
        logic.SetMRMLApplicationLogic(application)
        application.SetModuleLogic(name, logic)
    remote = slicer.vtkMRMLRemoteIOLogic()  # reading a bundle asks it for a folder to unpack into
    remote.SetMRMLApplicationLogic(application)
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(temporary.name)
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLApplicationLogic(application)
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    slicer.mrmlScene = scene
    slicer.app = types.SimpleNamespace(applicationLogic=lambda: application, temporaryPath=temporary.name)
    _kept[:] = [scene, application, logics, remote, manager, temporary]
    return scene


def _add_inferno(scene: slicer.vtkMRMLScene) -> None:
    """The colours of uncertainties, under the id that they have in the application.

    Elsewhere they come from a file.
    """
    from matplotlib import colormaps

    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetSingletonTag("FileInferno.txt")
    table.SetName("Inferno")
    table.SetNumberOfColors(256)
    for index, colour in enumerate(colormaps["inferno"](range(256))):
        table.SetColor(index, *(float(part) for part in colour))
    table.SetSaveWithScene(False)
    scene.AddNode(table)


def close_headless_scene() -> None:
    """Let go of the scene and logics that headless_scene made, and remove their temporary folder."""
    temporary = _kept[-1]
    slicer.mrmlScene.Clear(True)
    _kept.clear()
    temporary.cleanup()


def show_in_slice_views(scene: slicer.vtkMRMLScene, background, foreground=None) -> None:
    """Let the three slice views show a volume when the scene is opened; the foreground begins transparent.

    Args:
        scene: gets the nodes that say so.
        background: volume node of the scene.
        foreground: another one, or None.
    """
    for name in ("Red", "Green", "Yellow"):
        view = slicer.vtkMRMLSliceCompositeNode()
        view.SetLayoutName(name)
        view.SetSingletonTag(name)
        view.SetBackgroundVolumeID(background.GetID())
        if foreground is not None:
            view.SetForegroundVolumeID(foreground.GetID())
            view.SetForegroundOpacity(0.0)
        view.SetLinkedControl(True)
        scene.AddNode(view)
