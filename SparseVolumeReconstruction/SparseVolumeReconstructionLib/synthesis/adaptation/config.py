"""How a network is carried to another scanner, as a configuration says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...data.config import Count, Section
from .vae import VaeSettings


class AdaptationConfig(Section):
    """How a network is carried to another scanner.

    vae: of the contrast that is made. vae_steps, vae_rate, kl: of its training. slices: of a volume in a
    step of that, all if None. distance: between the codes
    of what is made and those of the real contrast. epochs: over the target's volumes. batch: target volumes
    whose codes are taken together. rate: learning rate of the generator. weight: of the distance; the
    supervised loss has that of the training.
    """

    vae: VaeSettings = VaeSettings()
    vae_steps: Count = 1500
    vae_rate: float = Field(1e-3, gt=0)
    kl: float = Field(0.2, ge=0)
    slices: Count | None = None
    distance: Literal["kl", "wasserstein"] = "kl"
    epochs: Count = 5
    batch: Count = 2
    rate: float = Field(1e-6, gt=0)
    weight: float = Field(1.0, gt=0)
    seed: int = 0
