"""Training of MRNGAN: localisers, DCGANs and their tuning, pix2pix, the recurrent cell, in one run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import softplus

from ...data.stored import Volumes
from ...training.loop.config import TrainConfig, validated
from ...training.loop.task import Task
from .chains import MEASURED, Outwards, chain_errors
from .localisers import place_scores
from .network import MrnganSettings, MrnganShape
from .prior import to_tensors
from .stages import STAGES, MrnganConfig, Networks, Stage

_DRAWS = 32  # slices of each place that make the general brain
_VALIDATED_EVERY = 4
Terms = dict[str, torch.Tensor]


class MrnganTask(Task):
    """See training.loop.task.Task; volumes are (N, K, H, W) in [0, 1]."""

    networks: Networks

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(MrnganConfig, config.model, "model")
        shape = {name: getattr(self._config, name) for name in MrnganShape.model_fields}
        data = {"size": config.data.size, "slices": config.data.slices}
        self.settings = validated(MrnganSettings, shape | data, "model")
        self.networks = Networks(self._config, self.settings)
        self.cycle = self._config.generator_steps + 1
        self._stage = self._at(0)

    def _at(self, step: int) -> Stage:
        return Stage(self._config, self.config.steps, step)

    def parts(self) -> list[list[nn.Parameter]]:
        """Those of each stage, and of its critics."""
        return [[p for network in part for p in network.parameters()] for *_, part in self.networks.parts()]

    def rates(self, step: int) -> list[float]:
        """All rest but the part whose stage and turn it is."""
        at = self._at(step)
        return [
            at.rate if (stage, critics) == (at.name, at.critics) else 0.0
            for stage, critics, _ in self.networks.parts()
        ]

    def loss(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, float | torch.Tensor]]:
        """Loss of the part whose turn it is, of volumes (B, K, H, W)."""
        self._stage = self._at(step)
        of_stage: dict[str, Callable[[torch.Tensor, torch.Generator], Terms]] = {
            "localise": self._localise,
            "generalise": self._generalise,
            "tune": self._tune,
            "flow": self._flow,
            "recur": self._recur,
        }
        terms = of_stage[self._stage.name](batch, generator)
        values: dict[str, float | torch.Tensor] = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum(), {"stage": float(self._stage.number), **values}

    def _chosen(
        self, volumes: torch.Tensor, generator: torch.Generator, margin: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Volumes (N,) and places (N,) of random slices, away from both ends by `margin`."""
        last, many = volumes.shape[1] - margin, self._config.views
        shape = (len(volumes), many)
        place = torch.randint(margin, last, shape, generator=generator, device=volumes.device)
        body = torch.arange(len(volumes), device=volumes.device)[:, None].expand(shape)
        return body.flatten(), place.flatten()

    def _localise(self, volumes: torch.Tensor, generator: torch.Generator) -> Terms:
        """Squared errors of all localisers."""
        body, place = self._chosen(volumes, generator)
        slices, true = volumes[body, place], place / (volumes.shape[1] - 1)
        return {
            f"place {kind}": ((localiser(slices) - true) ** 2).mean()
            for kind, localiser in self.networks.localisers().items()
        }

    def _generalise(self, volumes: torch.Tensor, generator: torch.Generator) -> Terms:
        """Of the DCGANs at intervals, and of the conditional GAN."""
        networks = self.networks
        critics = networks.anchor_critics
        terms = self._adversarial("dcgan", networks.anchors, critics, volumes[:, networks.places], generator)
        body, place = self._chosen(volumes, generator)
        real, pose = volumes[body, place], place / (volumes.shape[1] - 1)
        codes = self._codes((len(real),), volumes, generator)
        with torch.set_grad_enabled(not self._stage.critics):
            made = networks.conditional_slices(codes, place)
        maps = pose[:, None, None].expand_as(real)
        critic, shown = networks.conditional_critic, (made, real)[: 1 + self._stage.critics]
        return terms | {"cgan": self._judgement(*(critic(torch.stack([x, maps], 1)) for x in shown))}

    def _tune(self, volumes: torch.Tensor, generator: torch.Generator) -> Terms:
        """Of the copies at the places whose turn it is; at the end of it the general brain's are drawn."""
        networks, offsets = self.networks, self.networks.offsets()
        number, first, last = self._stage.turn(len(offsets))
        places, own = networks.tuned_places(offsets[number])
        if first:
            networks.start_tuning()
        if last:
            self._draw_general(places, own, generator)
        critics = networks.tuned_critics
        return self._adversarial("tuned", networks.tuned, critics, volumes[:, places], generator)

    @torch.no_grad()
    def _draw_general(self, places: torch.Tensor, own: torch.Tensor, generator: torch.Generator) -> None:
        networks = self.networks
        codes = self._codes((_DRAWS, len(own)), networks.drawn, generator)
        made = networks.tuned(codes)[:, own]
        networks.model.general[places[own]] = made.mean(0)
        networks.drawn[places[own]] = made[0]

    def _codes(self, shape: tuple, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Standard normal numbers (*shape, latent)."""
        return torch.randn(*shape, self._config.latent, generator=generator, device=like.device)

    def _adversarial(
        self, name: str, maker: nn.Module, critics: nn.Module, real: torch.Tensor, generator: torch.Generator
    ) -> Terms:
        """Of generators and critics of real slices (B, places, H, W)."""
        codes = self._codes(real.shape[:2], real, generator)
        with torch.set_grad_enabled(not self._stage.critics):
            made = maker(codes)
        return {name: self._judgement(*(critics(x) for x in (made, real)[: 1 + self._stage.critics]))}

    @staticmethod
    def _judgement(made: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
        """Binary cross-entropy of what critics say of made and real slices; for makers, of made as real."""
        if real is None:
            return softplus(-made.float()).mean()
        return softplus(made.float()).mean() + softplus(-real.float()).mean()

    def _flow(self, volumes: torch.Tensor, generator: torch.Generator) -> Terms:
        """Of pix2pix on random pairs of neighbours, in both directions."""
        networks = self.networks
        body, place = self._chosen(volumes, generator, 1)
        direction = _directions(place, generator)
        given, wanted = volumes[body, place], volumes[body, place + direction.long()]
        with torch.set_grad_enabled(not self._stage.critics):
            made = networks.model.flow(given, direction)
        way = direction[:, None, None].expand_as(given)
        critic = networks.pair_critic
        shown = (made, wanted)[: 1 + self._stage.critics]
        terms = {"pix2pix": self._judgement(*(critic(torch.stack([given, x, way], 1)) for x in shown))}
        if not self._stage.critics:
            terms["neighbour"] = self._config.flow_l1 * (made - wanted).abs().mean()
        return terms

    def _recur(self, volumes: torch.Tensor, generator: torch.Generator) -> Terms:
        """Of chains that begin at random slices: two draws each, whose errors are scored together.

        The absolute error is the continuous ranked probability score of two draws: half of their distance is
        taken off, so that noise which says how people differ is worth having.
        """
        config, model = self._config, self.networks.model
        model.flow.eval()
        count, slices = len(volumes) * config.sequences, volumes.shape[1]
        chain = min(config.chain, slices - 1)
        skewed = float(torch.rand((), generator=generator, device=volumes.device)) ** 2
        burn = int(skewed * (min(config.burn, slices - 1 - chain) + 1))
        body = torch.arange(count, device=volumes.device) // config.sequences
        start = torch.randint(slices - chain - burn, (count,), generator=generator, device=volumes.device)
        direction = _directions(start, generator)
        start = torch.where(direction > 0, start, slices - 1 - start)
        general = torch.rand(count, generator=generator, device=volumes.device) < config.from_general
        seen = torch.where(general[:, None, None], model.general[start], volumes[body, start])
        noise = torch.randn(2 * count, *model.noise_shape, generator=generator, device=volumes.device)
        both, state = direction.repeat(2), model.begin(seen.repeat(2, 1, 1), start.repeat(2))
        with torch.no_grad():
            for _ in range(burn):
                state = model.step(state, both, noise)
        torch.clear_autocast_cache()  # what was cast without gradients is not used with them
        l1, l2 = [], []
        for _ in range(chain):
            state = model.step(state, both, noise)
            (one, other), truth = state.image.chunk(2), volumes[body, state.place[:count]]
            spread = (one - other).abs().mean()
            l1.append(0.5 * ((one - truth).abs().mean() + (other - truth).abs().mean() - spread))
            l2.append(((0.5 * (one + other) - truth) ** 2).mean())
        return {"l1": config.l1 * torch.stack(l1).mean(), "l2": config.l2 * torch.stack(l2).mean()}

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """Of volumes (N, K, H, W): the error of the stage; its score is below that of the stage before."""
        number = self._stage.number
        found = (self._validate_localisers, self._validate_general, self._validate_general)
        measured = [*found, self._validate_flow, self._validate_chains][number](volumes[:])
        error = measured["error"]
        return {"score": len(STAGES) - 1 - number + error / (1 + error), **measured}

    def _validate_localisers(self, volumes: torch.Tensor) -> dict[str, float]:
        slices = volumes[:, ::_VALIDATED_EVERY].flatten(0, 1)
        steps = torch.arange(0, volumes.shape[1], _VALIDATED_EVERY, device=volumes.device)
        true = (steps / (volumes.shape[1] - 1)).repeat(len(volumes))
        scores = {k: place_scores(net(slices), true) for k, net in self.networks.localisers().items()}
        return {
            "error": scores["cnn"]["mse"] ** 0.5,
            **{f"accuracy {kind}": s["accuracy"] for kind, s in scores.items()},
        }

    def _validate_general(self, volumes: torch.Tensor) -> dict[str, float]:
        networks = self.networks
        if self._stage.name == "tune":
            general = networks.model.general
        else:
            chance = torch.Generator(volumes.device).manual_seed(0)
            general = networks.anchors(self._codes((_DRAWS, len(networks.places)), volumes, chance)).mean(0)
            volumes = volumes[:, networks.places]
        return {"error": float((general - volumes.mean(0)).square().mean().sqrt())}

    def _validate_flow(self, volumes: torch.Tensor) -> dict[str, float]:
        place = torch.arange(1, volumes.shape[1] - 1, _VALIDATED_EVERY, device=volumes.device)
        errors = []
        for volume in volumes:
            for way in (1, -1):
                made = self.networks.model.flow(
                    volume[place], torch.full_like(place, way, dtype=torch.float32)
                )
                errors.append((made - volume[place + way]).square().mean())
        return {"error": float(torch.stack(errors).mean().sqrt())}

    def _validate_chains(self, volumes: torch.Tensor) -> dict[str, float]:
        middle = volumes.shape[1] // 2
        errors = []
        for volume in volumes:
            chains = Outwards([middle], volume[[middle]], self.networks.model)
            errors.append((chains.show(None) - volume[chains.hidden]).square().mean())
        return {"error": float(torch.stack(errors).mean().sqrt())}

    @torch.no_grad()
    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The networks that the prior keeps, how people differ, and the error of chains by distance.

        Measured on volumes (N, K, H, W).
        """
        model = self.networks.eval().requires_grad_(False).model
        device = model.general.device
        sd = volumes.std(0) if len(volumes) > 1 else torch.zeros_like(volumes[0])
        return to_tensors(model, sd.cpu(), chain_errors(model, volumes[:MEASURED].to(device), sd))


def _directions(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """+1 or -1 for each of (N,), as likely."""
    return 2.0 * torch.randint(2, like.shape, generator=generator, device=like.device) - 1
