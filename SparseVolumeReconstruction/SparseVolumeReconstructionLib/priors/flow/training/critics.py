"""Critics of slices, and how far draws are from the truth: what tells a good sample from another."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import leaky_relu, softplus

from ..network import coarser

_SLOPE = 0.2
_HAZE = 0.01
_CLOSE = 1e-6
_SHAPES = (  # means over blocks, then blocks whose voxels belong together, and weight
    ((1, 1, 1), (1, 1, 1), 0.5),
    ((1, 1, 1), (8, 4, 4), 1.0),
    ((4, 2, 2), (4, 4, 4), 1.0),
)


class SliceCritic(nn.Module):
    """Slices (n, H, W) of any size to one number each, above 0 for scans; it looks at patches.

    Args:
        width: channels of the first of its four layers.
    """

    def __init__(self, width: int):
        super().__init__()
        widths = 1, width, 2 * width, 4 * width
        self.layers = nn.ModuleList([nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths)])
        self.end = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """(n,)."""
        x = 2 * slices[:, None] - 0.5
        for layer in self.layers:
            x = leaky_relu(layer(x), _SLOPE)
        return self.end(x).float().mean((1, 2, 3))


class Critics(nn.Module):
    """One critic of axial slices, one of upright ones."""

    def __init__(self, width: int):
        super().__init__()
        self.axial, self.upright = SliceCritic(width), SliceCritic(width)

    def judged(self, views: list[torch.Tensor]) -> list[torch.Tensor]:
        """What they say of `views_of` volumes, (n,) each."""
        axial, *upright = views
        return [self.axial(axial), *(self.upright(view) for view in upright)]


def views_of(volumes: torch.Tensor, count: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Random axial, coronal and sagittal slices of volumes (B, K, H, W), (B * count, ...) each.

    A little noise hides steps of stored grey values and what is not quite 0 around the anatomy.
    """
    body = torch.arange(len(volumes), device=volumes.device).repeat_interleave(count)
    views = []
    for axis in (1, 2, 3):
        size = volumes.shape[axis]
        place = torch.randint(size, (len(body),), generator=generator, device=volumes.device)
        chosen = volumes.movedim(axis, 1)[body, place]
        haze = torch.randn(chosen.shape, generator=generator, device=chosen.device)
        views.append(chosen + _HAZE * haze)
    return views


def critics_loss(
    critics: Critics, real: list[torch.Tensor], made: list[torch.Tensor], penalty: float
) -> torch.Tensor:
    """Cross-entropy of what critics say of scans and samples, and their slope (Mescheder et al. 2018).

    Args:
        real, made: see `views_of`, (n, H, W) each.
        penalty: weight of the squared slope.
    """
    terms = [softplus(judged).mean() for judged in critics.judged(made)]
    shown = [view.detach().float().requires_grad_() for view in real]
    with torch.autocast(shown[0].device.type, enabled=False):
        judged = critics.judged(shown)
        slopes = torch.autograd.grad([j.sum() for j in judged], shown, create_graph=True)
    terms += [softplus(-j).mean() for j in judged]
    terms += [penalty / 2 * slope.square().sum((1, 2)).mean() for slope in slopes]
    return torch.stack(terms).sum() / len(made)


def doubt(critics: Critics, made: list[torch.Tensor]) -> torch.Tensor:
    """What a maker loses by the judgement of `views_of` its samples, (n, H, W) each."""
    return torch.stack([softplus(-judged).mean() for judged in critics.judged(made)]).mean()


def energy_score(one: torch.Tensor, other: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """How badly two draws foretell the truth, all (B, K, H, W).

    An unbiased estimate of the energy score (Gneiting and Raftery, J. Am. Stat. Assoc. 102, 2007) of single
    voxels, and of those of small and of larger blocks together: it is smallest for draws that are distributed
    as truths are.
    """

    def apart(a: torch.Tensor, b: torch.Tensor, blocks: tuple[int, int, int]) -> torch.Tensor:
        return (coarser((a - b) ** 2, blocks) + _CLOSE).sqrt().mean()

    total = one.new_zeros(())
    for means, blocks, weight in _SHAPES:
        a, b, t = (v if max(means) == 1 else coarser(v, means) for v in (one, other, truth))
        total = total + weight * 0.5 * (apart(a, t, blocks) + apart(b, t, blocks) - apart(a, b, blocks))
    return total
