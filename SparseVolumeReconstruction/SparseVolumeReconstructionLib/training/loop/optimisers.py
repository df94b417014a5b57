"""The optimisers of a task: one Adam for each of its parts, of which some may rest in a step."""

from __future__ import annotations

import torch
from torch import nn

from .config import TrainConfig
from .task import Task


class Optimisers:
    """One for each part of the task's networks, on the device where these are.

    Args:
        task: says what the parts are, and at which rate each learns.
        config: learning rate, its decay, and betas of Adam (Kingma and Ba, ICLR 2015).
    """

    def __init__(self, task: Task, config: TrainConfig):
        self._task, self._config = task, config
        self._all = [
            torch.optim.Adam(part, lr=config.learning_rate, betas=config.betas) for part in task.parts()
        ]
        self._turn: list[torch.optim.Optimizer] = []

    def begin(self, step: int) -> None:
        """Only the parts that do not rest in this step can learn, at the learning rate of the step."""
        self._turn = []
        for optimiser, factor in zip(self._all, self._task.rates(step), strict=True):
            group = optimiser.param_groups[0]
            group["lr"] = self._config.learning_rate * self._config.decay**step * factor
            for parameter in group["params"]:
                parameter.requires_grad_(factor > 0)
            optimiser.zero_grad(set_to_none=True)
            if factor > 0:
                self._turn.append(optimiser)

    def parameters(self) -> list[nn.Parameter]:
        """Those that have a gradient."""
        return [p for one in self._turn for p in one.param_groups[0]["params"] if p.grad is not None]

    def step(self) -> None:
        """Move the parts whose turn it is."""
        for optimiser in self._turn:
            optimiser.step()

    def state(self) -> dict[str, torch.Tensor]:
        """What they remember as "<number of parameter>.<name>", each a scalar or shaped as the parameter."""
        values: dict[str, torch.Tensor] = {}
        for first, optimiser in self._numbered():
            for index, state in optimiser.state_dict()["state"].items():
                values |= {f"{first + index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        return values

    def load_state(self, values: dict[str, torch.Tensor]) -> None:
        """The inverse of `state`; each a scalar or shaped as the parameter."""
        for first, optimiser in self._numbered():
            state: dict[int, dict[str, torch.Tensor]] = {}
            for name, tensor in values.items():
                number, key = name.split(".", 1)
                if 0 <= int(number) - first < len(optimiser.param_groups[0]["params"]):
                    state.setdefault(int(number) - first, {})[key] = tensor
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": state, "param_groups": groups})

    def _numbered(self) -> list[tuple[int, torch.optim.Optimizer]]:
        """Each optimiser with the number of its first parameter among all."""
        first = 0
        found: list[tuple[int, torch.optim.Optimizer]] = []
        for optimiser in self._all:
            found.append((first, optimiser))
            first += len(optimiser.param_groups[0]["params"])
        return found
