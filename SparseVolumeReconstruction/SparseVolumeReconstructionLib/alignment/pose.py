"""The family of frames searched by alignment: patient -> canonical affines with a prior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..observation.rotations import rotation_matrices

UNITS = (0.1, 0.1, 0.1, 5.0, 5.0, 5.0, 0.05, 0.05, 0.05)
_MIXED_UP = 5.0  # nats that evidence must bring for an orientation that is not near the stated one


@dataclass(frozen=True, eq=False)
class PoseFamily:
    """x_canonical = centre_canonical + t + S R R0 (x_patient - centre_patient).

    Parameters theta (B, 9) in UNITS: rotation vector (0.1 rad), translation t (5 mm), log scales along the
    canonical axes beyond the expected one (0.05). start_rotation: R0, (B, 3, 3). log_scale: expected log of
    canonical over patient size, (B,). rotation_sd (rad), scale_sd: widths of the Gaussian prior.
    """

    centre_patient: torch.Tensor
    centre_canonical: torch.Tensor
    start_rotation: torch.Tensor
    log_scale: torch.Tensor
    rotation_sd: float
    scale_sd: float

    @classmethod
    def fixed(cls, matrix: np.ndarray, count: int = 1) -> PoseFamily:
        """`count` times the one frame (4x4 patient to canonical, RAS mm), at theta 0.

        Args:
            matrix: may have scales and shears.
            count: B, how many.
        """
        linear, shift = (torch.as_tensor(m, dtype=torch.float32) for m in (matrix[:3, :3], matrix[:3, 3]))
        return cls(torch.zeros(3), shift, linear.expand(count, 3, 3), torch.zeros(count), 1.0, 1.0)

    def select(self, index: torch.Tensor) -> PoseFamily:
        """The family restricted to starts `index`."""
        return PoseFamily(
            self.centre_patient,
            self.centre_canonical,
            self.start_rotation[index],
            self.log_scale[index],
            self.rotation_sd,
            self.scale_sd,
        )

    def linear(self, theta: torch.Tensor) -> torch.Tensor:
        """S R R0, (B, 3, 3)."""
        units = theta * torch.tensor(UNITS, dtype=theta.dtype)
        scale = torch.exp(self.log_scale[:, None] + units[:, 6:])
        return scale[:, :, None] * (rotation_matrices(units[:, :3]) @ self.start_rotation)

    def apply(self, theta: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Canonical positions (B, n, 3) of patient points (n, 3), mm.

        Args:
            theta: (B, 9), see the class.
            points: RAS; the same ones for all poses.
        """
        shift = self.centre_canonical + theta[:, 3:6] * UNITS[3]
        return (points - self.centre_patient) @ self.linear(theta).transpose(1, 2) + shift[:, None]

    def matrix(self, theta: torch.Tensor) -> torch.Tensor:
        """4x4 patient-to-canonical matrices, (B, 4, 4), RAS mm."""
        linear = self.linear(theta)
        out = torch.eye(4, dtype=theta.dtype).repeat(len(theta), 1, 1)
        out[:, :3, :3] = linear
        out[:, :3, 3] = self.centre_canonical + theta[:, 3:6] * UNITS[3] - linear @ self.centre_patient
        return out

    def penalty(self, theta: torch.Tensor) -> torch.Tensor:
        """Minus the log prior of the pose, (B,), up to a constant.

        The body lies as its file says, or, seldom, as if axes had been mixed up.
        """
        units = theta * torch.tensor(UNITS, dtype=theta.dtype)
        full = rotation_matrices(units[:, :3]) @ self.start_rotation
        traces = torch.einsum("bij,qij->bq", full, quarter_turns().to(full))
        cosine = ((traces - 1) / 2).clamp(-1, 1)
        mixed_up = _MIXED_UP * (torch.arange(cosine.shape[1]) > 0)
        rotation = ((1 - cosine) / self.rotation_sd**2 + mixed_up).amin(1)
        scale = units[:, 6:]
        aspect = scale - scale.mean(1, keepdim=True)
        return rotation + 0.5 * (scale.mean(1) / self.scale_sd) ** 2 + 0.5 * (aspect**2).sum(1) / 0.06**2


@lru_cache(maxsize=1)
def quarter_turns() -> torch.Tensor:
    """The 24 rotations that take axes to axes, the identity first, (24, 3, 3).

    What mixed up axes in a header amount to.
    """
    found = torch.as_tensor(Rotation.create_group("O").as_matrix().round(), dtype=torch.float32)
    return found[(found - torch.eye(3)).abs().sum((1, 2)).argsort(stable=True)]


def spread_rotations(count: int) -> torch.Tensor:
    """`count` rotations spread evenly over all orientations, (count, 3, 3).

    Super-Fibonacci spirals (Alexa, CVPR 2022).
    """
    s = np.arange(count) + 0.5
    low, high = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * np.pi * s / np.sqrt(2), 2 * np.pi * s / 1.533751168755204288118041
    quaternions = np.stack(
        [low * np.sin(alpha), low * np.cos(alpha), high * np.sin(beta), high * np.cos(beta)], 1
    )
    return torch.as_tensor(Rotation.from_quat(quaternions).as_matrix(), dtype=torch.float32)
