"""MRNGAN's networks as its training left them: those that localise, and all others."""

from __future__ import annotations

from ..geometry import InputError
from ..priors.mrngan.stages import Networks
from ..priors.mrngan.training import MrnganTask
from ..training.loop import checkpoint
from ..training.loop.config import read_config
from ..training.loop.task import make_task
from .models import Models

NAMES = {"ffn": "FFN", "cnn": "CNN", "deep": "deep CNN", "deep-skips": "deep CNN with skips"}


def trained_networks(models: Models) -> Networks:
    """All networks of the training, in evaluation mode. Raises InputError where only the prior was kept."""
    config = f"mrngan-64-{models.scale}"
    best = models.folder / config / checkpoint.BEST
    if not best.is_file():
        raise InputError(
            f"{best}: is not there; what localises and generates needs all networks of the training: give "
            f"the folder in which ./run train mrngan --config {config} --out FOLDER/{config} ran as --models "
            "FOLDER."
        )
    task = make_task(read_config(config))
    assert isinstance(task, MrnganTask)
    task.networks.load_state_dict(checkpoint.load(best)[0])
    networks: Networks = task.networks.eval().requires_grad_(False)
    return networks
