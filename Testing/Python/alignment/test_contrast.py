"""The contrast of slices in words, and slices of other contrasts as T1w MRI would show their tissues."""

from dataclasses import replace

import numpy as np
import pytest

from SparseVolumeReconstructionLib.alignment.contrast import Contrast, contrast_of, measures
from SparseVolumeReconstructionLib.alignment.head import head_reader
from SparseVolumeReconstructionLib.alignment.judge import Judge
from SparseVolumeReconstructionLib.alignment.shown import ContrastMap
from SparseVolumeReconstructionLib.alignment.tissues import as_t1w, brain_in_field
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of


def slices_of(file, fractions=(0.35, 0.5, 0.65, 0.8)) -> list:
    """Slices between the first and the last that show something."""
    volume = read_volume(file)
    shown = np.flatnonzero((volume.array > 0.1 * volume.array.max()).mean((1, 2)) > 0.03)
    return [slice_of(volume, int(k)) for k in np.unique(np.quantile(shown, fractions).astype(int))]


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("real_scans/ms_patient12_study1_FLAIR", "FLAIR"),
        ("real_scans/ms_patient12_study1_T2W", "T2w"),
        ("real_scans/ds000011_sub-01_inplaneT2", "T2w"),
        ("real_scans/ds000011_sub-01_T1w", "T1w"),
        ("heads_t1_ixi/IXI274_T1w", "T1w"),
        ("multimodal_t1_t2_flair/brats_met_00110_T2w", "T2w"),
        ("multimodal_t1_flair/siteA_sub-11_FLAIR", "FLAIR"),
        ("multimodal_t1_flair/siteB_sub-08_T1w", "T1w"),
    ],
)
def test_the_contrast_of_real_scans_is_told_in_words(shared_data, file, kind):
    found = contrast_of(head_reader().read(slices_of(shared_data / f"{file}.nii.gz")))
    assert found.is_other_than("T1w") is (kind != "T1w")
    assert found.words == f"{kind}-like"


def test_the_bundled_sample_is_t1w(repository):
    folder = repository / "SparseVolumeReconstruction" / "Resources" / "SampleData"
    volume = read_volume(folder / "sparse-brain-4-slices.nrrd")
    readings = head_reader().read([slice_of(volume, k) for k in range(len(volume.array))])
    assert contrast_of(readings).words == "T1w-like"


def test_neither_units_nor_an_empty_brain_change_what_is_measured(shared_data):
    slices = slices_of(shared_data / "heads_t1_ixi" / "IXI274_T1w.nii.gz")
    brighter = [replace(s, pixels=s.pixels * 7.5) for s in slices]
    reader = head_reader()
    np.testing.assert_allclose(measures(reader.read(slices)), measures(reader.read(brighter)), atol=1e-2)
    assert measures([]) is None and contrast_of([]) is None


def test_what_is_not_clear_is_called_so():
    assert Contrast({"T1w": 0.55, "T2w": 0.45}).words == "unclear"
    assert not Contrast({"T1w": 0.31, "T2w": 0.69}).is_other_than("T1w")
    assert Contrast({"T1w": 0.29, "T2w": 0.71}).is_other_than("T1w")


def test_a_judge_weighs_measures():
    judge = Judge(["a", "b"], ["x", "y"], np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.0, -1.0]))
    found = judge.probabilities({"x": 1.0, "y": 1.0, "other": 9.0})
    assert found["a"] == pytest.approx(0.5) and sum(found.values()) == pytest.approx(1)
    assert judge.probabilities({"y": 1.0})["b"] == pytest.approx(1 / (1 + np.exp(-1)))


def test_slices_of_another_contrast_look_like_t1w_of_the_same_person(shared_data):
    folder = shared_data / "multimodal_t1_t2_flair"
    t1, t2 = (read_volume(folder / f"ljubljana_07_{kind}.nii.gz") for kind in ("T1w", "T2w"))
    k = t2.array.shape[0] // 2
    image = slice_of(t2, k)
    reading = head_reader().read([image])[0]
    made = as_t1w(image, reading)
    place = made.plane.points_ras() @ np.linalg.inv(t1.grid.ijk_to_ras)[:3, :3].T
    place += np.linalg.inv(t1.grid.ijk_to_ras)[:3, 3]
    i, j, _ = np.rint(place).astype(int).T
    truth = t1.array[round(place[0, 2]), j.clip(0), i.clip(0)].reshape(made.pixels.shape)
    both = (made.pixels > 0) & (truth > 0)
    assert np.corrcoef(truth[both], made.pixels[both])[0, 1] > 0.6
    assert np.corrcoef(truth[both], image.pixels[both])[0, 1] < 0
    assert not made.pixels[reading.field.on_slice(brain_in_field(reading).astype(np.float32)) < 0.4].any()


def test_a_map_of_a_contrast_knows_no_order():
    rng = np.random.default_rng(0)
    canonical = rng.uniform(0, 1, 20000)
    patient = 900 - 700 * canonical + rng.normal(0, 20, canonical.shape)
    found = ContrastMap.fit(canonical, patient)
    at = np.array([0.0, 0.2, 0.5, 0.8])
    np.testing.assert_allclose(found.to_patient(at), [0, 760, 550, 340], atol=25)
    spread = found.spread_to_patient(at[1:], np.full(3, 0.1))
    assert ((spread > 65) & (spread < 90)).all()
    with pytest.raises(InputError, match="show brain"):
        ContrastMap.fit(canonical[:50], patient[:50])
