"""Carry a synthesis network to another scanner: source steps by truth, target steps by what codes are like.

As the domain-adaptive synthesis paper: one supervised step on the source, one step on the target that draws
the codes of what is made to the aggregate Gaussians of the real contrast, position by position.
"""

from __future__ import annotations

import torch

from ...progress import Progress
from ..pix2pix.task import SynthesisTask
from .config import AdaptationConfig
from .moments import Aggregate
from .vae import Vae, vae_loss


def train_vae(volumes: torch.Tensor, config: AdaptationConfig, progress: Progress) -> Vae:
    """A VAE of real volumes (N, K, J, I) in [0, 1]; the batch of a step is one volume or some of its slices.

    Args:
        volumes: on the device where it learns.
        config: of the adaptation.
        progress: told of steps, asked whether to stop.
    """
    torch.manual_seed(config.seed)
    chance = torch.Generator(volumes.device).manual_seed(config.seed)
    k, j, i = volumes.shape[1:]
    vae = Vae((k, j, i), config.vae).to(volumes.device)
    optimiser = torch.optim.Adam(vae.parameters(), config.vae_rate)
    for step in range(config.vae_steps):
        progress.update(f"VAE, step {step + 1} of {config.vae_steps}", step / config.vae_steps)
        one = torch.randint(len(volumes), (1,), generator=chance, device=volumes.device)
        volume = volumes[one]
        if config.slices and config.vae.codes_of == "slices":
            order = torch.randperm(k, generator=chance, device=volumes.device)
            volume = volume[:, order[: config.slices]]
        optimiser.zero_grad()
        loss = vae_loss(vae, volume, config.kl, chance)
        loss.backward()
        optimiser.step()
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def aggregate(vae: Vae, volumes: torch.Tensor) -> Aggregate:
    """What the codes of volumes (N, K, J, I) are like at every position."""
    means, variances = zip(*(vae.encode(one) for one in volumes.split(1)), strict=True)
    return Aggregate.of(torch.cat(means), torch.cat(variances))


def adapt(
    task: SynthesisTask,
    source: torch.Tensor,
    target: torch.Tensor,
    config: AdaptationConfig,
    progress: Progress,
) -> None:
    """Carry the generator of a task to the scanner of `target`; it changes in place.

    Args:
        task: trained on the source.
        source: (N, C, K, J, I), paired scans, the output last.
        target: (M, C - 1, K, J, I), inputs alone.
        config: how.
        progress: told of steps, asked whether to stop.
    """
    vae = train_vae(source[:, -1], config, progress.part(0.0, 0.5))
    real = aggregate(vae, source[:, -1])
    generator = task.networks.generator.train().requires_grad_(True)
    optimiser = torch.optim.Adam(generator.parameters(), config.rate)
    chance = torch.Generator(source.device).manual_seed(config.seed)
    batches = [
        chosen
        for _ in range(config.epochs)
        for chosen in torch.randperm(len(target), generator=chance, device=target.device).split(config.batch)
    ]
    later = progress.part(0.5, 1.0)
    for step, chosen in enumerate(batches):
        later.update(f"adaptation, step {step + 1} of {len(batches)}", step / len(batches))
        one = torch.randint(len(source), (1,), generator=chance, device=source.device)
        scans, truth = source[one, :-1], source[one, -1]
        optimiser.zero_grad()
        supervised = sum(task.errors(scans, truth, *generator(scans)).values())
        torch.as_tensor(supervised).backward()
        optimiser.step()
        optimiser.zero_grad()
        made = Aggregate.of(*vae.encode(generator(target[chosen])[0]))
        apart = made.divergence_from(real) if config.distance == "kl" else made.wasserstein_from(real)
        (config.weight * apart).backward()
        optimiser.step()
    generator.eval()
