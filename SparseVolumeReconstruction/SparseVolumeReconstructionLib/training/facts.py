"""What the user says about the data of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CardFacts:
    """For the model's card. config: name of a deep prior's configuration."""

    model_id: str
    anatomy: str = "unknown"
    modality: str = "unknown"
    licence: str = "not stated"
    data: str = "not stated"
    limits: str = ""
    config: str = ""
