"""The device that computes."""

import pytest
import torch

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.device import placed, resolve_device


def test_auto_is_a_gpu_where_there_is_one():
    assert resolve_device("auto") == torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.gpu
def test_gpu_by_number():
    assert resolve_device("cuda:0") == resolve_device("cuda") == torch.device("cuda:0")


def test_absent_gpu_is_refused():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(InputError, match="was asked for"):
        resolve_device(absent)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "cuda:", "cpu:0", "cuda:-1"])
def test_unknown_names_are_refused(name):
    with pytest.raises(InputError, match="expected auto, cpu or cuda:0"):
        resolve_device(name)


@pytest.mark.gpu
def test_a_network_goes_to_a_gpu_and_back():
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Conv3d(1, 1, 3))
    assert all(parameter.is_cuda for parameter in placed(network, torch.device("cuda")).parameters())
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not any(parameter.is_cuda for parameter in placed(network, torch.device("cpu")).parameters())
