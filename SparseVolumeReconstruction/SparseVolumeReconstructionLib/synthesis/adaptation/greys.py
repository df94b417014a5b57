"""Grey values of scanners as quantiles, and scans of one scanner with the grey values of another.

As histogram standardisation (Nyul and Udupa, Magn. Reson. Med. 42, 1999), but that of a scanner, not of a
scan: what differs between people stays. Only voxels deep in heads count: how much of the fluid and of what
surrounds a brain was cut away differs from site to site by more than what scanners show.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ...data.cohort import FOREGROUND

LEVELS = 65
_FLAT = 1e-6
_DEEP = 0.25  # of the greatest depth in a head; of a brain about 12 mm


def grey_quantiles(scans: torch.Tensor) -> torch.Tensor:
    """Quantiles (LEVELS,) of the grey values deep in heads, mean over heads; rising.

    Args:
        scans: (N, K, J, I) in [0, 1], voxels alike along all axes, background 0.
    """
    shares = torch.linspace(0, 1, LEVELS, device=scans.device)
    each = [torch.quantile(_thinned(one[deep_in(one) & (one > FOREGROUND)]).float(), shares) for one in scans]
    return torch.stack(each).mean(0)


def matched(scans: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Scans in [0, 1] of any shape whose scanner has the quantiles `own`, with the grey values of `other`.

    What is not above 0 stays.
    """
    values = scans.clamp(float(own[0]), float(own[-1])).contiguous()
    above = torch.searchsorted(own.contiguous(), values).clamp(1, LEVELS - 1)
    low, high = own[above - 1], own[above]
    share = ((values - low) / (high - low).clamp(min=_FLAT)).clamp(0, 1)
    found = other[above - 1] + share * (other[above] - other[above - 1])
    return torch.where(scans > 0, found, scans)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """How far the grey values of two scanners differ: mean distance of quantiles, [0, 1]."""
    return float((one - other).abs().mean())


def deep_in(scan: torch.Tensor) -> torch.Tensor:
    """Which voxels, alike along all axes, lie deep in a head (K, J, I), background 0; bool (K, J, I)."""
    depth = distance_transform_edt(np.pad(scan.cpu().numpy() > 0, 1))[1:-1, 1:-1, 1:-1]
    return torch.as_tensor(depth > _DEEP * depth.max(), device=scan.device)


def _thinned(values: torch.Tensor, most: int = 1_000_000) -> torch.Tensor:
    """Evenly spaced ones, so many that torch sorts them."""
    return values[:: 1 + len(values) // most]
