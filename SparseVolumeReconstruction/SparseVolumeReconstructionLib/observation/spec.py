"""What a request says of something observed: one data model for each kind, in an open table."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny

from .base import Observation


@dataclass(frozen=True)
class Reading:
    """What was read for one entry of a request.

    Attributes:
        observations: patient mm, units of the file.
        warnings: one sentence each.
        assumed: what no file stated, e.g. {"slice thickness": {"5 mm"}}; told once for all entries of a name.
    """

    observations: list[Observation]
    warnings: list[str] = field(default_factory=list)
    assumed: dict[str, set[str]] = field(default_factory=dict)


class ObservationSpec(BaseModel):
    """Base of what a request says of one file, and how that is read; paths are absolute.

    A subclass is known to all requests as soon as it is defined, by the default of its `kind`.
    """

    model_config = ConfigDict(extra="forbid")
    kinds: ClassVar[dict[str, type[ObservationSpec]]] = {}
    kind: str
    path: str
    source: str | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Enter the kind into the table."""
        ObservationSpec.kinds[cls.model_fields["kind"].default] = cls

    @property
    def name(self) -> str:
        """What to call it in messages: the volume that the file is a part of, or the file."""
        return self.source or self.path

    @abstractmethod
    def read(self) -> Reading:
        """Read the file. Raises InputError where it is not what the entry says."""


def _of_its_kind(given: Any) -> Any:
    """Fields as the data model of their kind; those of slices need not say it."""
    if not isinstance(given, dict):
        return given
    kind = given.get("kind", "slice")
    if not isinstance(kind, str) or kind not in ObservationSpec.kinds:
        raise ValueError(f'kind "{kind}" is not known; expected one of {", ".join(ObservationSpec.kinds)}')
    return ObservationSpec.kinds[kind].model_validate(given)


AnyObservationSpec = Annotated[SerializeAsAny[ObservationSpec], BeforeValidator(_of_its_kind)]
