"""Chains of slices outwards from those that were seen, all of a posterior's at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .network import Mrngan, State

MEASURED = 16  # bodies, at most, that the error by distance is measured on


class Outwards:
    """Where chains lead that begin at seen slices, up and down, each to the next seen one or to an end.

    Where none was seen, they begin in the middle of the general brain. Two chains meet between two seen
    slices; what they show there is averaged, weighted by 1 / error^2 of their distances.

    Args:
        index: numbers of the seen slices (n,), ascending.
        pixels: of these, (n, H, W), on the device of the model.
        model: in evaluation mode.
        errors: of a chain by its length, (K,), in any unit; all the same if None.

    Attributes:
        hidden: numbers (m,) of the slices that were not seen.
        distance: of every slice to the nearest start, (K,).
    """

    def __init__(
        self, index: list[int], pixels: torch.Tensor, model: Mrngan, errors: torch.Tensor | None = None
    ):
        slices, device = len(model.general), pixels.device
        self._model = model
        self._errors = pixels.new_ones(slices) if errors is None else errors
        chains = chains_of(index, slices)
        self._from = torch.tensor([start for start, _, _ in chains], device=device)
        self._direction = torch.tensor([way for _, way, _ in chains], device=device, dtype=torch.float32)
        self._length = [length for *_, length in chains]
        known = model.general.clone()
        known[torch.tensor(index, dtype=torch.long, device=device)] = pixels
        self._images = known[self._from]
        every = torch.arange(slices, device=device)
        self.distance = (every[:, None] - self._from).abs().amin(1)
        self._seen = torch.isin(every, torch.tensor(index, dtype=torch.long, device=device))
        self.hidden = every[~self._seen]

    def show(self, noise: torch.Tensor | None, check: Callable[[], None] = lambda: None) -> torch.Tensor:
        """The hidden slices of one draw, (m, H, W), or of D draws, (D, m, H, W).

        Args:
            noise: (D, *noise_shape) of the model, or None for none, which is one draw.
            check: called before every step; raise from it to cancel.
        """
        noises = self._images.new_zeros(1, *self._model.noise_shape) if noise is None else noise
        total = self._images.new_zeros(len(noises), *self._model.general.shape)
        weights = self._images.new_zeros(total.shape[1])
        for step, place, image in self._steps(noises, check):
            weight = self._errors[step] ** -2
            total.index_add_(1, place, weight * image)
            weights.index_add_(0, place, weight.expand(len(place)))
        shown = total[:, self.hidden] / weights[self.hidden, None, None]
        return shown[0] if noise is None else shown

    def arrivals(self, check: Callable[[], None]) -> dict[int, tuple[torch.Tensor, int]]:
        """What chains without noise from below show of seen slices, {number: (slice (H, W), distance)}."""
        found = {}
        for step, place, image in self._steps(self._images.new_zeros(1, *self._model.noise_shape), check):
            for number, shown in zip(place.tolist(), image[0], strict=True):
                if self._seen[number]:
                    found[number] = shown, step
        return found

    def _steps(self, noise: torch.Tensor, check: Callable[[], None]):
        """(steps done, places (c,), slices (D, c, H, W)) of chains that have not ended, longest first."""
        draws, count = len(noise), len(self._length)
        state = self._model.begin(self._images.repeat(draws, 1, 1), self._from.repeat(draws))
        for step in range(1, max(self._length, default=0) + 1):
            check()
            alive = sum(length >= step for length in self._length)
            if alive < count:
                state = State(*(part.unflatten(0, (draws, -1))[:, :alive].flatten(0, 1) for part in state))
                count = alive
            direction = self._direction[:alive].repeat(draws)
            state = self._model.step(state, direction, noise.repeat_interleave(alive, 0))
            yield step, state.place[:alive], state.image.unflatten(0, (draws, alive))


def chains_of(index: list[int], slices: int) -> list[tuple[int, int, int]]:
    """Chains from seen slices, longest first: (start, +1 or -1, length).

    Those upwards go as far as the next seen slice itself, of which they say what was to be expected.

    Args:
        index: numbers of the seen slices, ascending; if there are none, chains begin in the middle.
        slices: of the stack.
    """
    if not index:
        middle = slices // 2
        return [(middle - 1, 1, slices - middle), (middle, -1, middle)]
    ends = [-1, *index, slices]
    found = []
    for below, here, above in zip(ends, index, ends[2:], strict=False):
        found += [(here, 1, min(above, slices - 1) - here), (here, -1, here - below - 1)]
    return sorted((chain for chain in found if chain[2] > 0), key=lambda chain: -chain[2])


@torch.no_grad()
def chain_errors(model: Mrngan, volumes: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Root mean square error of chains by their length over the spread of people at the same places, (K,).

    Chains begin at a quarter, the half and three quarters of the stack; longer ones than these can be have
    the last error.

    Args:
        model: in evaluation mode.
        volumes: (N, K, H, W) on its device; MEASURED of them are enough.
        spread: standard deviation of people, (K, H, W).
    """
    slices = volumes.shape[1]
    starts = torch.tensor([slices // 4, slices // 2, 3 * slices // 4], device=volumes.device)
    body = torch.arange(len(volumes), device=volumes.device).repeat_interleave(2 * len(starts))
    start = starts.repeat_interleave(2).repeat(len(volumes))
    direction = torch.tensor([1.0, -1.0], device=volumes.device).repeat(len(starts) * len(volumes))
    noise = volumes.new_zeros(len(body), *model.noise_shape)
    state, found = model.begin(volumes[body, start], start), [0.0]
    variance = spread.to(volumes.device).square().mean((1, 2))
    for _ in range(slices - 1):
        state = model.step(state, direction, noise)
        inside = (state.place >= 0) & (state.place < slices)
        if not inside.any():
            break
        place = state.place[inside]
        error = (state.image[inside] - volumes[body[inside], place]).square().mean()
        found.append(float((error / variance[place].mean().clamp(min=1e-8)).sqrt()))
    found[0] = found[1]
    curve = torch.tensor(found + [found[-1]] * (slices - len(found)))
    return curve.cummax(0).values.clamp(min=1e-3)
