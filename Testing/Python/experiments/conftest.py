"""Bodies for experiments, and models of them that are trained once."""

import json
import shutil

import pytest
from training.conftest import AGES, body

from SparseVolumeReconstructionLib.experiments.models import GAUSSIAN, POPULATIONS, Models
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.progress import Progress

SPLIT = {"fit": [f"age{age}" for age in AGES if age not in (23, 27)], "test": ["age23", "age27"]}
SYSTEMS = (GAUSSIAN, "slice-vae")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Registrations and models of the tests are kept apart from those of the user; one thread for tiny
    tensors. A network that tells samples from scans is trained for a tenth of its time: every system has one.
    """
    import torch

    from SparseVolumeReconstructionLib.evaluation import detector

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SVR_MODELS_DIR", str(tmp_path_factory.mktemp("none")))
        patch.setattr(detector, "_EPOCHS", detector._EPOCHS // 10)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two folders of six bodies each, and a split file."""
    root = tmp_path_factory.mktemp("bodies")
    for n, age in enumerate(AGES):
        folder = root / ("some" if n < 6 else "others")
        folder.mkdir(exist_ok=True)
        write_volume(body(age, n), folder / f"age{age}.nii.gz")
    (root / "split.json").write_text(json.dumps(SPLIT))
    return root


@pytest.fixture(scope="session")
def make_models(folders):
    """make_models(folder, population, **changes): models of the bodies, tiny ones."""

    def make(folder, population="brain-t1", **changes) -> Models:
        words = {"scale": "tiny", "device": "cpu", "may_train": True, "progress": Progress(), **changes}
        return Models(folder, POPULATIONS[population], [folders / "some", folders / "others"], SPLIT, **words)

    return make


@pytest.fixture(scope="session")
def trained(make_models, tmp_path_factory):
    """What was trained: a structured Gaussian and a slice VAE."""
    models = make_models(tmp_path_factory.mktemp("trained"))
    models.several(list(SYSTEMS))
    return models


@pytest.fixture(scope="session")
def models_dir(trained, tmp_path_factory):
    """The same weights as models of all populations; the slice VAE also stands for bruno, GQN and C-VAE.

    Of brains, for bruno alone: the same numbers four times tell no more than twice.
    """
    folder = tmp_path_factory.mktemp("models")
    for population in POPULATIONS:
        shutil.copy(
            trained.folder / "structured-gaussian-64-tiny" / "brain-t1.safetensors",
            folder / f"{population}.safetensors",
        )
        for key in ("slice-vae", "bruno", *(("gqn", "cvae") if population == "fetal-t2" else ())):
            vae = trained.folder / "slice-vae-64-tiny" / "brain-t1-slice-vae.safetensors"
            shutil.copy(vae, folder / f"{population}-{key}.safetensors")
    return folder
