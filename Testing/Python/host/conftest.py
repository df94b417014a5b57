"""The test host as fixtures; where it cannot run, its tests are skipped and say why."""

import subprocess
import sys

import pytest

LIBRARIES = "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0"
RENDER = (
    "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render(); raise "
    "SystemExit(not w.SupportsOpenGL())"
)


@pytest.fixture(scope="session")
def host_class():
    """The class `Host`; skips where there is no Qt, or nothing that renders."""
    try:
        from host.harness import Host
    except ImportError as error:
        pytest.skip(
            f"NO TEST OF THE PANEL: {error}; pip install PySide6-Essentials, and on Debian apt-get install "
            f"{LIBRARIES}"
        )
    # VTK may crash where it finds no driver: in a process of its own, with the environment that the host has
    # chosen.
    if subprocess.run([sys.executable, "-c", RENDER], capture_output=True, check=False).returncode:
        pytest.skip(f"NO TEST OF THE PANEL: nothing renders here; on Debian apt-get install {LIBRARIES}")
    return Host


@pytest.fixture
def host(host_class):
    """A running host with an empty scene; errors that nobody asked for fail the test."""
    with host_class() as running:
        yield running


@pytest.fixture(scope="module")
def bench(host_class, tmp_path_factory):
    """The module's own panel in one host for all tests of a file, with an empty folder of user's models; see
    `Desk`.
    """
    from host.desk import Desk

    with pytest.MonkeyPatch.context() as patch, host_class() as running:
        patch.setenv("SVR_MODELS_DIR", str(tmp_path_factory.mktemp("models")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield Desk(running)


@pytest.fixture
def desk(bench):
    """The panel with an empty scene; errors that nobody asked for fail the test."""
    bench.clear()
    yield bench
    bench.wait()


@pytest.fixture
def sample(desk):
    """The bundled sample of four slices, shown in all views."""
    return desk.sample()


@pytest.fixture(scope="session")
def head():
    """MNI152 as a SimpleITK image: int16, 0..1000, 4 mm, axes of a NIfTI file of its own space."""
    import numpy as np
    import SimpleITK as sitk
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=4)
    image = sitk.GetImageFromArray(np.rint(np.asarray(template.dataobj).T * 1000).astype(np.int16))
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ template.affine
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(to_lps[:3, 3].tolist())
    image.SetDirection((to_lps[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.fixture
def dense(desk, head):
    """A dense head, shown in all views."""
    import numpy as np
    import SimpleITK as sitk
    import slicer.util

    array, lps = sitk.GetArrayFromImage(head), np.eye(4)
    lps[:3, :3] = np.reshape(head.GetDirection(), (3, 3)) * head.GetSpacing()
    lps[:3, 3] = head.GetOrigin()
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, name="Head")
    node.CreateDefaultDisplayNodes()
    return desk.show(node)


@pytest.fixture
def module_file(tmp_path):
    """Function: write the small module, with changes; see `write_small_module`."""
    from host.small_module import write_small_module

    return lambda **changes: write_small_module(tmp_path, **changes)


@pytest.fixture
def small(host, module_file):
    """The panel of the small module, shown."""
    return host.load(module_file())


@pytest.fixture
def noise(host):
    """Function: add a volume of noise, shown in all views."""
    import numpy as np
    import slicer

    def add(name="Noise"):
        node = slicer.util.addVolumeFromArray(
            np.random.default_rng(0).normal(100, 30, (20, 30, 40)), name=name
        )
        node.CreateDefaultDisplayNodes()
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        return node

    return add
