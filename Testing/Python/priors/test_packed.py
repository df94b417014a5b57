"""Images in weights files."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.priors.packed import pack, unpack


@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.floats(-9, 9), st.floats(0, 9), st.integers(0, 99))
def test_images_come_back_within_half_a_step(shape, low, extent, seed):
    image = low + extent * torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    back = unpack("space.x", pack("space.x", image))
    assert back.shape == image.shape
    assert (back - image).abs().max() <= (image.max() - image.min()) / 510 + 1e-5


def test_zero_stays_zero_and_empty_parts_take_no_room():
    image = torch.zeros(40, 64, 64)
    image[20, 10:20, 10:20] = torch.rand(10, 10)
    stored = pack("x", image)
    assert (unpack("x", stored)[image == 0] == 0).all()
    assert sum(t.nbytes for t in stored.values()) < 1000


@pytest.mark.parametrize("change", [lambda t: t[:-9], lambda t: t.flip(0), lambda t: torch.from_numpy(t.numpy().repeat(2))])
def test_damaged_content_is_refused(change):
    stored = pack("x", torch.rand(7, 7))
    with pytest.raises(ValueError, match="x: "):
        unpack("x", stored | {"x": change(stored["x"])})
    with pytest.raises(ValueError, match="x: "):
        unpack("x", stored | {"x_shape": torch.tensor([6, 7])})
