"""The model card: what a prior is, where it comes from and how good it was measured to be."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MODEL_ID = r"^[a-z0-9][a-z0-9-]*$"


class Covariate(BaseModel):
    """A number known of a subject on which the prior depends, e.g. gestational age in weeks."""

    model_config = ConfigDict(extra="forbid")
    name: str
    unit: str
    low: float
    high: float


class BaseModelReference(BaseModel):
    """The model that another one is built on: its id, and the SHA-256 of its weights file."""

    model_config = ConfigDict(extra="forbid")
    id: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class MeanTempering(BaseModel):
    """How slices are trusted less about what people share, and more about what is near.

    shared: factor on the loadings. power: of the residual's correlation along the axes that no slice looks
    along; an integer keeps it positive definite (Schur).
    """

    model_config = ConfigDict(extra="forbid")
    shared: float = Field(gt=0, le=1)
    power: int = Field(ge=1)


class MeanWarping(BaseModel):
    """How donors are deformed to slices, and how much of what that changes of their average is a mean's.

    nodes_mm: distance of the nodes of a field of displacements. neighbours_mm: standard deviation of the
    difference of displacements that lie 20 mm apart, before anything was observed. gain: share of the change
    that counts where slices are. reach_mm: distance to the nearest slice at which e times less counts.
    """

    model_config = ConfigDict(extra="forbid")
    nodes_mm: float = Field(ge=5)
    neighbours_mm: float = Field(gt=0)
    gain: float = Field(gt=0, le=2)
    reach_mm: float = Field(gt=0)


class ModelCard(BaseModel):
    """Everything a user should know before trusting a prior.

    quality, time and memory are measured values with the command that prints them. training: how a deep prior
    came about (config, config_sha256, device, date, minutes, parameters). base: the model that this one is
    built on, None for most. tempering, warping: of the mean that a structured Gaussian infers from slices,
    tempered of parallel ones alone, warped by way of its donors; None for the exact mean.
    """

    model_config = ConfigDict(extra="forbid")
    id: str = Field(pattern=MODEL_ID)
    title: str
    system: str
    version: str
    anatomy: str
    modality: str
    canonical_space: str
    units: str
    licence: str
    data: str
    split: dict[str, Any] = {}
    covariate: Covariate | None = None
    base: BaseModelReference | None = None
    tempering: MeanTempering | None = None
    warping: MeanWarping | None = None
    quality: dict[str, Any] = {}
    time_and_memory: str = ""
    training: dict[str, Any] = {}
    limits: str = ""
    notice: str = "Generated content: inferred voxels were not observed. Not for diagnosis."


class ModelEntry(BaseModel):
    """One line of the manifest: the weights file, its digest and size in bytes, and the card."""

    model_config = ConfigDict(extra="forbid")
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int
    card: ModelCard
