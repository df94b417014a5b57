"""Adam as torch has it, at the cost of its steps alone."""

from __future__ import annotations

import inspect

import torch


class Adam(torch.optim.Adam):
    """torch's, without its compiler.

    A first step would import that, which takes every process a second.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
