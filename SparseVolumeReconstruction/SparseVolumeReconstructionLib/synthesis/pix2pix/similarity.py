"""Structural similarity as a loss: the measure of `evaluation.metrics`, with gradients."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d

from ...evaluation.metrics import WINDOW

_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2


def ssim_of_slices(truth: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Map (B, K, J, I) of the SSIM of each axial slice of volumes (B, K, J, I) in [0, 1], float32.

    As `evaluation.metrics.ssim_map` but at the border of a slice, where windows are cut.
    """
    with torch.autocast(truth.device.type, enabled=False):
        x, y = truth.float(), made.float()

        def local(values: torch.Tensor) -> torch.Tensor:
            return avg_pool2d(values, WINDOW, 1, WINDOW // 2, count_include_pad=False)

        mean_x, mean_y = local(x), local(y)
        unbiased = WINDOW**2 / (WINDOW**2 - 1)
        var_x, var_y = (
            unbiased * (local(v**2) - mean**2).clamp(min=0) for v, mean in ((x, mean_x), (y, mean_y))
        )
        both = unbiased * (local(x * y) - mean_x * mean_y)
        above = (2 * mean_x * mean_y + _LUMINANCE) * (2 * both + _CONTRAST)
        return above / ((mean_x**2 + mean_y**2 + _LUMINANCE) * (var_x + var_y + _CONTRAST))
