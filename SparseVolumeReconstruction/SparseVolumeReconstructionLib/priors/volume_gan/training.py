"""Training of volume models: one generator, judged by divergences, errors or adversaries.

Both its codes and its volumes are judged.

Which of them makes the model: 3D VAE (divergence and squared error), WGAN-GP (an adversary alone), VAE-GAN
(Larsen et al. 2016: divergence, adversary and its features), alpha-GAN (Rosca et al. 2017: adversaries of
volumes and of codes, absolute error) and alpha-WGAN (Kwon et al. 2019: the same with gradient penalties).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn.functional import softplus

from ...data.stored import Volumes
from ...training.loop.config import Count, TrainConfig, validated
from ...training.loop.task import Task
from .codes import closest_codes
from .network import (
    CodeCritic,
    Generator,
    Tower,
    VolumeSettings,
    VolumeShape,
    along_stack,
)
from .prior import to_tensors

_SAMPLES = 24
_CHUNK = 4


class VolumeGanConfig(VolumeShape):
    """Shape and training of a volume model.

    title: of the model's card. codes: what draws the codes of an encoder to N(0, I): the divergence ("kl"),
    an adversary ("critic"), or there is no encoder ("none"). adversary: of volumes (and codes): none,
    "wgan-gp" or "bce". kl, l1, l2: weights of the divergence (nats per voxel), of the mean absolute and of
    the mean squared error of decoded codes. features: weight of the mean squared difference in what the
    adversary sees. penalty: weight of (|gradient| - 1)^2. critic_steps: of the adversaries before every step
    of the others. hidden: units of the adversary of codes.
    """

    title: str
    codes: Literal["kl", "critic", "none"]
    adversary: Literal["wgan-gp", "bce", "none"]
    kl: float = Field(0.0, ge=0)
    l1: float = Field(0.0, ge=0)
    l2: float = Field(0.0, ge=0)
    features: float = Field(0.0, ge=0)
    penalty: float = Field(10.0, ge=0)
    critic_steps: Count = 1
    hidden: Count = 4096

    @model_validator(mode="after")
    def _parts_agree(self) -> VolumeGanConfig:
        if self.adversary == "none" and (self.codes != "kl" or self.features):
            raise ValueError('without an adversary, codes are "kl" and features 0')
        return self


class _Networks(nn.Module):
    """The generator, its encoder, and their adversaries."""

    def __init__(self, config: VolumeGanConfig, settings: VolumeSettings):
        super().__init__()
        self.generator = Generator(settings)
        codes = {"none": 0, "critic": 1, "kl": 2}[config.codes] * settings.latent
        self.encoder = Tower(settings, codes, normalise=True) if codes else None
        if (
            self.encoder is not None and config.codes == "kl"
        ):  # from the first step on, the generator knows codes drawn from N(0, I)
            nn.init.zeros_(self.encoder.head.weight)
            nn.init.zeros_(self.encoder.head.bias)
        self.critic = (
            None if config.adversary == "none" else Tower(settings, 1, normalise=config.adversary == "bce")
        )
        self.code_critic = CodeCritic(settings.latent, config.hidden) if config.codes == "critic" else None


class VolumeGanTask(Task):
    """See training.loop.task.Task; volumes are (N, K, H, W) in [0, 1]."""

    networks: _Networks

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(VolumeGanConfig, config.model, "model")
        shape = {name: getattr(self._config, name) for name in VolumeShape.model_fields}
        data = {"size": config.data.size, "slices": config.data.slices}
        self.title = self._config.title
        self.cycle = 1 if self._config.adversary == "none" else self._config.critic_steps + 1
        self._mirror = config.augmentation.mirror
        self._settings = validated(VolumeSettings, shape | data, "model")
        self.networks = _Networks(self._config, self._settings)
        self._shrink = along_stack(self._settings.slices, self._settings.depth)

    def parts(self) -> list[list[nn.Parameter]]:
        """Generator and encoder, and the adversaries where there are some."""
        named = list(self.networks.named_parameters())
        makers, critics = (
            [p for name, p in named if ("critic" in name) == critic] for critic in (False, True)
        )
        return [makers, critics] if critics else [makers]

    def rates(self, step: int) -> list[float]:
        """One of both rests."""
        turn = self._critics_turn(step)
        return [float(not turn), float(turn)][: len(self.parts())]

    def _critics_turn(self, step: int) -> bool:
        return step % self.cycle < self.cycle - 1

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of the adversaries, or of generator and encoder, whose turn it is, of volumes (B, K, H, W)."""
        volumes, turn = self._resampled(batch), self._critics_turn(step)
        terms = self._critics_terms(volumes, generator) if turn else self._makers_terms(volumes, generator)
        return reduce(torch.add, terms.values()), {name: term.detach() for name, term in terms.items()}

    def _resampled(self, volumes: torch.Tensor) -> torch.Tensor:
        """Stacks (B, K, H, W) as the networks know them, (B, depth, H, W)."""
        return torch.einsum("dk,bkhw->bdhw", self._shrink.to(volumes.device), volumes)

    def _encoded(
        self, volumes: torch.Tensor, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes of volumes, and their divergence from N(0, I) in nats, (B,).

        One draw of each where there is a generator.
        """
        assert self.networks.encoder is not None
        codes = self.networks.encoder(volumes)
        if self._config.codes == "critic":
            return codes, codes.new_zeros(len(codes))
        mean, log_variance = codes.chunk(2, 1)
        log_variance = log_variance.clamp(-10, 10)
        drawn = (
            mean if generator is None else mean + (0.5 * log_variance).exp() * self._noise(volumes, generator)
        )
        return drawn, divergence(mean, log_variance)

    def _noise(self, volumes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Codes from N(0, I), one for each volume."""
        return torch.randn(len(volumes), self._settings.latent, generator=generator, device=volumes.device)

    def _critics_terms(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        noise = self._noise(volumes, generator)
        with torch.no_grad():
            codes = [self._encoded(volumes, generator)[0]] if self.networks.encoder else []
            made = [self.networks.generator(z) for z in (noise, *codes)]
        assert self.networks.critic is not None
        terms = self._judged("critic", self.networks.critic, volumes, made, generator)
        if self.networks.code_critic:
            terms |= self._judged("code critic", self.networks.code_critic, noise, codes, generator)
        return terms

    def _judged(
        self,
        name: str,
        critic: nn.Module,
        real: torch.Tensor,
        made: list[torch.Tensor],
        generator: torch.Generator,
    ) -> dict[str, torch.Tensor]:
        """How badly a critic tells real ones from made ones, and its penalty between both.

        made: one kind of made ones for each.
        """
        judged = [critic(x) for x in (real, *made)]
        if self._config.adversary == "bce":
            return {
                name: softplus(-judged[0]).mean() + sum(softplus(j).mean() for j in judged[1:]) / len(made)
            }
        kind = torch.randint(len(made), (len(real),), generator=generator, device=real.device)
        others = torch.stack(made)[kind, torch.arange(len(real), device=real.device)]
        penalty = gradient_penalty(critic, real, others, generator)
        difference = sum(j.mean() for j in judged[1:]) / len(made) - judged[0].mean()
        return {name: difference, f"{name} penalty": self._config.penalty * penalty}

    def _makers_terms(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        config, networks = self._config, self.networks
        terms: dict[str, torch.Tensor] = {}
        made: list[torch.Tensor] = []
        if networks.encoder:
            codes, nats = self._encoded(volumes, generator)
            made.append(networks.generator(codes))
            terms |= self._errors(volumes, made[0])
            if config.codes == "kl":
                terms["divergence"] = config.kl * nats.mean() / volumes[0].numel()
            elif networks.code_critic:
                terms["codes"] = self._doubted(networks.code_critic(codes))
        if networks.critic:
            made.append(networks.generator(self._noise(volumes, generator)))
            terms["made"] = self._doubted(torch.cat([networks.critic(m) for m in made]))
        return terms

    def _errors(self, volumes: torch.Tensor, decoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Weighted errors of decoded codes."""
        config = self._config
        difference = decoded - volumes
        terms = {"l1": config.l1 * difference.abs().mean(), "l2": config.l2 * (difference**2).mean()}
        if config.features and (critic := self.networks.critic):
            seen, wanted = (critic.features(x).float() for x in (decoded, volumes))
            terms["features"] = config.features * ((seen - wanted) ** 2).mean()
        return terms

    def _doubted(self, judged: torch.Tensor) -> torch.Tensor:
        """What a maker loses by the judgement (B, 1) of what it made."""
        return softplus(-judged).mean() if self._config.adversary == "bce" else -judged.mean()

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Of volumes (N, K, H, W).

        Without an adversary: the loss. With one: energy distance between samples and volumes, and the error
        of decoded codes where there is an encoder; both in root mean square intensity per voxel.
        """
        volumes, found = self._resampled(volumes[:]), {}
        if self.networks.encoder:
            terms = [self._validation_terms(part, generator) for part in volumes.split(1)]
            found = {name: float(torch.stack([t[name] for t in terms]).mean()) for name in terms[0]}
        if not self.networks.critic:
            return {"score": found["l1"] + found["l2"] + found["divergence"], **found}
        codes = torch.randn(_SAMPLES, self._settings.latent, generator=generator, device=volumes.device)
        drawn = torch.cat([self.networks.generator(part) for part in codes.split(_CHUNK)])
        found["distance"] = energy_distance(drawn, volumes)
        return {"score": found["distance"] + found.get("error", 0.0), **found}

    def _validation_terms(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        codes, nats = self._encoded(volumes, generator)
        decoded = self.networks.generator(codes)
        terms = self._errors(volumes, decoded) | {
            "divergence": self._config.kl * nats.mean() / volumes[0].numel()
        }
        return terms | {"error": (decoded - volumes).square().mean().sqrt()}

    @torch.no_grad()
    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The generator, and the error it leaves of volumes (N, K, H, W).

        Where codes are drawn to N(0, I) by the divergence alone, which a few thousand steps do not finish,
        the stored generator takes N(0, I) to the Gaussian that the codes of the volumes (and their mirror
        images) have.
        """
        networks = self.networks.eval().requires_grad_(False)
        device = next(networks.parameters()).device
        stretch = along_stack(self._settings.depth, self._settings.slices).to(device)
        squares = torch.zeros(volumes.shape[1:], device=device)
        found = []
        order = torch.arange(len(volumes) * (2 if self._mirror else 1))
        for numbers in order.split(_CHUNK):
            part = torch.stack([self._image(volumes, int(n)).to(device) for n in numbers])
            wanted = self._resampled(part)
            found.append(
                networks.encoder(wanted)
                if networks.encoder
                else closest_codes(networks.generator, wanted, self._settings.latent)
            )
            codes = found[-1][:, : self._settings.latent]
            squares += ((torch.einsum("kd,bdhw->bkhw", stretch, networks.generator(codes)) - part) ** 2).sum(
                0
            )
        generator = networks.generator
        if self._config.codes == "kl":
            mean, log_variance = torch.cat(found).double().chunk(2, 1)
            variance = log_variance.clamp(-10, 10).exp().mean(0)
            generator = generator.with_codes(
                mean.mean(0), torch.cov(mean.T, correction=0) + torch.diag(variance)
            )
        return to_tensors(generator, (squares / len(order)).sqrt().cpu())

    @staticmethod
    def _image(volumes: Volumes, number: int) -> torch.Tensor:
        """A volume, or from N on the mirror image of one, (K, H, W)."""
        mirrored, number = divmod(number, len(volumes))
        return volumes[number].flip(-1) if mirrored else volumes[number]


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Of normal distributions from N(0, I), nats, (B,); mean and log_variance are (B, L).

    Args:
        mean: (B, L).
        log_variance: (B, L).
    """
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    made: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean of (|gradient of the critic| - 1)^2 at random points between real and made, (B, ...) each.

    Gulrajani et al. 2017.

    Args:
        critic: (B, ...) to one number each, (B, 1) or (B,).
        real: data.
        made: by the generator, of the same shape.
        generator: of random numbers, on the device of the data.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator, device=real.device)
    between = (share * real + (1 - share) * made).detach().requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        gradient = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def energy_distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Unbiased estimate of the energy distance of two sets (N, ...) and (M, ...).

    That is 2 E|x - y| - E|x - x'| - E|y - y'| with N, M >= 1, where |.| is the root mean square over voxels:
    the maximum mean discrepancy of the kernel -|x - y|, which needs no width. A set of one has no pairs: its
    own term is 0 and the estimate too large.

    Args:
        one: on the device of the other.
        other: voxels as in the one.
    """
    x, y = one.flatten(1).float(), other.flatten(1).float()
    scale = x.shape[1] ** -0.5
    within = sum(float(torch.pdist(s).mean()) if len(s) > 1 else 0.0 for s in (x, y))
    return scale * (2 * float(torch.cdist(x, y).mean()) - within)
