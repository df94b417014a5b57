"""The embedded brain-t1 on real volumes: what it must refuse, and what it must not."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.geometry.plane import slice_of
from SparseVolumeReconstructionLib.reconstruction.align import align
from SparseVolumeReconstructionLib.reconstruction.progress import Progress
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    """The embedded prior."""
    store = ModelStore(tmp_path_factory.mktemp("none"))
    if not store.is_embedded("brain-t1"):
        pytest.skip("needs the embedded model brain-t1")
    return store.load("brain-t1", "cpu")


def middle_slices(path) -> list:
    """Three slices through the middle of what a file shows."""
    volume = read_volume(path)
    shown = np.flatnonzero(volume.array.max((1, 2)) > 0.1 * volume.array.max())
    return [slice_of(volume, int(k)) for k in np.quantile(shown, [0.35, 0.5, 0.65])]


@pytest.mark.parametrize(
    "pattern", ["mouse_ct/129S1*.nii.gz", "fetal_stacks/sub-01_run-1_T2w.nii.gz", "multimodal_t1_flair/*siteA*FLAIR*.nii.gz"]
)
def test_wrong_anatomy_and_modality_are_refused(brain, shared_data, pattern):
    files = sorted(shared_data.glob(pattern))
    if not files:
        pytest.skip(f"no {pattern}")
    with pytest.raises(InputError, match="do not look like"):
        align(middle_slices(files[0]), brain.alignment_model(), Progress())


def test_people_who_were_not_fitted_are_not_refused(brain, shared_data):
    for name in brain.card.split["test"][:2]:
        file = next((shared_data / "brain_t1").glob(f"{name}*.nii.gz"))
        assert align(middle_slices(file), brain.alignment_model(), Progress()).score > 0.7
