"""Laplace's approximation of where slices lie, against quadratic evidence, of which all is known exactly."""

import numpy as np
import pytest
import torch
from scipy.stats import chi

from SparseVolumeReconstructionLib.alignment.match import Matcher
from SparseVolumeReconstructionLib.alignment.pose import UNITS, PoseFamily
from SparseVolumeReconstructionLib.alignment.search import Finalists
from SparseVolumeReconstructionLib.analysis import locate
from SparseVolumeReconstructionLib.analysis.locate import LEVEL, Calibration, pose_posterior
from SparseVolumeReconstructionLib.progress import Progress

NARROW = 1e-3  # UNITS
REACH = float(chi.ppf(LEVEL, 3))  # LEVEL of an isotropic Gaussian in three dimensions, standard deviations


class Quadratic(Matcher):
    """Evidence that falls off from theta = 0 as a Gaussian's; the covariate says which of `sds` (B, 9)."""

    def __init__(self, sds: np.ndarray):
        points = 50 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        super().__init__(None, points, torch.arange(200) % 2 * 1.0, 4.0)
        self._sds = torch.as_tensor(sds, dtype=torch.float32)

    def evidence(self, family, theta, value, maps):
        """(B,), nats."""
        return -0.5 * ((theta / self._sds[value.long()]) ** 2).sum(1)


@pytest.fixture
def found(monkeypatch):
    """found(mm, degrees, evidence, calibration): the posterior of modes with standard deviations along every
    axis, turned by a quarter from one to the next.
    """

    def posterior(mm, degrees, evidence, *calibration):
        count = len(mm)
        sds = np.full((count, 9), NARROW)
        sds[:, :3] = np.radians(degrees)[:, None] / UNITS[0]
        sds[:, 3:6] = np.array(mm)[:, None] / UNITS[3]
        quarter = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        starts = torch.stack([torch.linalg.matrix_power(quarter, n) for n in range(count)])
        family = PoseFamily(torch.zeros(3), torch.zeros(3), starts, torch.zeros(count), 1e3, 1e3)
        theta = torch.zeros(count, 9)
        number = torch.arange(count).float()
        modes = Finalists(Quadratic(sds), family, theta, number, [None] * count, torch.tensor(evidence))
        monkeypatch.setattr(locate, "finalists", lambda *_: modes)
        return pose_posterior([], None, Progress(), calibration=Calibration(*calibration))

    return posterior


def test_modes_that_ended_in_one_place_count_once(found):
    """Four quarters later a mode is where the first is: however many starts led there, it is one place."""
    modes = found([2.0] * 5, [1.0] * 5, [0.0, -50.0, np.log(0.5), -50.0, 0.0]).modes
    assert [mode.probability for mode in modes] == pytest.approx([2 / 3, 1 / 3], rel=0.01)


def test_a_region_is_that_of_the_gaussian(found):
    shifted = found([4.0], [0.01], [0.0])
    assert shifted.region_mm == pytest.approx(4.0 * REACH, rel=0.08)
    assert shifted.region_deg < 0.1 and shifted.modes[0].probability == 1
    turned = found([0.01], [3.0], [0.0])
    assert turned.region_deg == pytest.approx(3.0 * REACH, rel=0.08)
    wider = found([4.0], [0.01], [0.0], 1.0, 1.5, 3.0)
    assert wider.region_mm == pytest.approx(np.hypot(1.5 * 4.0, 3.0) * REACH, rel=0.08)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_modes_weigh_as_much_as_the_integral_of_their_evidence(found, temperature):
    """exp(evidence) times the product of standard deviations, here 2^3 and 1.5^3 times those of the first."""
    evidence, wider = np.array([1.0, 0.0, -2.0]), np.array([1.0, 2.0, 1.5])
    modes = found([2.0, 4.0, 2.0], [1.0, 1.0, 1.5], evidence, temperature).modes
    mass = (np.exp(evidence) * wider**3) ** (1 / temperature)
    expected = sorted(mass / mass.sum(), reverse=True)
    assert [mode.probability for mode in modes] == pytest.approx(expected, rel=0.01)
    assert modes[0].region_mm == pytest.approx(4.0 * REACH, rel=0.2)  # the wider one, though less evident
