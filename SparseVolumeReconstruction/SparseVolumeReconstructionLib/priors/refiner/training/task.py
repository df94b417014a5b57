"""What the refiner learns: the truth, from posteriors of people whom the base was not fitted on."""

from __future__ import annotations

import torch
from monai.losses import SSIMLoss
from pydantic import Field, field_validator
from torch.nn.functional import l1_loss

from ....data.stored import Volumes
from ....training.loop.config import Count, Section, TrainConfig, validated
from ....training.loop.task import Task
from ..network import RefinerNetwork, inputs_of
from ..prior import Refinement, to_tensors

_WINDOW = 7
_TOGETHER = 30


class RefinerConfig(Section):
    """Shape and training of a refiner.

    width: of the network, a multiple of 24. offsets_mm: of the slices that it sees. slices: how many of each
    case are learnt of in a step. error: weight of the mean absolute error beside one minus SSIM. cases: of
    every person. folds: in which the base is fitted anew. shared, power: see Refinement.
    """

    width: Count = 48
    offsets_mm: tuple[float, ...] = (-12.0, -5.0, -2.0, 0.0, 2.0, 5.0, 12.0)
    slices: Count = 3
    error: float = Field(4.0, ge=0)
    cases: Count = 4
    folds: int = Field(5, ge=2)
    shared: float = Field(0.5, gt=0, le=1)
    power: float = Field(2.0, ge=1)

    @field_validator("width")
    @classmethod
    def _in_groups(cls, width: int) -> int:
        if width % 24:
            raise ValueError("expected a multiple of 24")
        return width

    @field_validator("offsets_mm")
    @classmethod
    def _with_the_slice_itself(cls, offsets: tuple[float, ...]) -> tuple[float, ...]:
        if 0.0 not in offsets:
            raise ValueError("expected 0, the slice itself, among them")
        return offsets


class RefinerTask(Task):
    """See training.loop.task.Task.

    "Volumes" are cases (N, 5, K, H, W), canonical units: mean and standard deviation of the posterior, those
    of the prior, and the truth. slice_mm: distance of their slices.
    """

    networks: RefinerNetwork
    slice_mm = 1.0

    def __init__(self, config: TrainConfig):
        self.config = config
        self.settings = validated(RefinerConfig, config.model, "model")
        self.networks = RefinerNetwork(self.settings.width, self.settings.offsets_mm)
        self._ssim = SSIMLoss(spatial_dims=2, win_size=_WINDOW, kernel_type="uniform")

    @property
    def tempering(self) -> Refinement:
        """How the posteriors are tempered whose mean is refined."""
        return Refinement(self.settings.shared, self.settings.power)

    @property
    def _shifts(self) -> tuple[float, ...]:
        """Of the slices that the network sees, in slices."""
        return tuple(mm / self.slice_mm for mm in self.settings.offsets_mm)

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """What the network is shown of random slices of each case (B, 5, K, H, W), and their truth.

        Half of the cases are mirrored.
        """
        shown, truths = [], []
        for case in volumes.float():
            place = torch.rand(case.shape[1], generator=generator, device=case.device)
            index = place.topk(min(self.settings.slices, len(place))).indices
            flip = (
                self.config.augmentation.mirror
                and torch.rand((), generator=generator, device=case.device) < 0.5
            )
            case = case.flip(-1) if flip else case
            shown.append(inputs_of(case[:2], case[2:4], index, self._shifts))
            truths.append(case[4, index])
        return {"inputs": torch.cat(shown), "truth": torch.cat(truths)}

    def loss(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One minus SSIM and the weighted mean absolute error of refined slices (n, H, W)."""
        own = self.settings.offsets_mm.index(0.0)
        refined = batch["inputs"][:, own] + self.networks(batch["inputs"]).float()
        error, unlike = self._terms(refined, batch["truth"])
        return self.settings.error * error + unlike, {"error": error.detach(), "unlike": unlike.detach()}

    def _terms(self, refined: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return l1_loss(refined, truth), self._ssim(refined[:, None], truth[:, None])

    @torch.no_grad()
    def refined(self, case: torch.Tensor) -> torch.Tensor:
        """The refined mean of a case (5, K, H, W), (K, H, W), canonical units."""
        added = []
        for index in torch.arange(case.shape[1], device=case.device).split(_TOGETHER):
            added.append(self.networks(inputs_of(case[:2], case[2:4], index, self._shifts)).float())
        return case[0] + torch.cat(added)

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """The loss and its terms over all slices of cases (N, 5, K, H, W)."""
        cases = (case.float() for case in volumes)
        terms = [torch.stack(self._terms(self.refined(case), case[4])) for case in cases]
        error, unlike = torch.stack(terms).mean(0).tolist()
        return {"score": self.settings.error * error + unlike, "error": error, "unlike": unlike}

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network; the base's standard deviations hold until they are measured."""
        return to_tensors(self.networks.cpu(), self.tempering)
