"""Tensors in weights files."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.zoo.compression import compress, expand
from SparseVolumeReconstructionLib.zoo.weights import describe, load_prior, read_tensors, save_weights

TYPES = [torch.float32, torch.float16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 20), max_size=3),
    st.sampled_from(TYPES),
    st.sampled_from([0.0, 1e-3, 50.0]),
    st.integers(0, 99),
)
def test_tensors_come_back_as_they_were(shape, kind, scale, seed):
    tensor = (scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).to(kind)
    back = expand(compress({"x": tensor, "y.deflating": tensor}))
    assert set(back) == {"x", "y.deflating"}
    for found in back.values():
        assert found.dtype == kind and torch.equal(found, tensor)


def test_weights_and_images_get_smaller():
    image = torch.zeros(40, 64, 64, dtype=torch.uint8)
    image[20, 10:20, 10:20] = 7
    weights = (0.05 * torch.randn(200_000)).half()
    stored = compress({"image": image, "weights": weights})
    assert stored["image"].nbytes < 1000
    assert stored["weights"].nbytes < 0.93 * weights.nbytes


@pytest.mark.parametrize(
    "change", [lambda t: t[:-9], lambda t: t.flip(0), lambda t: torch.from_numpy(t.numpy()[::2].copy())]
)
def test_damaged_content_is_refused(change):
    stored = compress({"x": torch.zeros(99, 99)})
    with pytest.raises(ValueError, match="x "):
        expand(stored | {"x": change(stored["x"])})


@pytest.mark.parametrize("shape", [[0, 99, 98], [0, 99, 100], [0, 2**40], [0, -1, 99], [0, 0]])
def test_other_shapes_and_impossible_ones_are_refused(shape):
    stored = compress({"x": torch.zeros(99, 99)})
    with pytest.raises(ValueError, match="x holds"):
        expand(stored | {"x.deflated": torch.tensor(shape)})


def test_a_model_is_read_as_it_was_written(write_weights, tmp_path):
    plain, smaller = write_weights(tmp_path / "plain.safetensors"), tmp_path / "smaller.safetensors"
    card, tensors = describe(plain).card, read_tensors(plain)
    save_weights(tensors | {"an image": torch.ones(99_999)}, card, smaller)
    assert smaller.stat().st_size < plain.stat().st_size + 999
    priors = [load_prior(path, card, torch.device("cpu")) for path in (plain, smaller)]
    assert torch.equal(*(prior.condition([]).sample([3]) for prior in priors))
    save_weights(tensors | {"loadings": tensors["loadings"][:, :7]}, card, smaller)
    with pytest.raises(InputError, match="smaller.safetensors"):
        load_prior(smaller, card, torch.device("cpu"))
