"""The recipe: what is done with every case of a cohort, as a YAML file says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..geometry import InputError, file_errors, first_problem
from ..reconstruction.request import ReconstructionRequest
from ..svr.request import SvrRequest
from ..synthesis.request import SynthesisRequest

Request = ReconstructionRequest | SvrRequest | SynthesisRequest
REQUESTS: dict[str, type[Request]] = {
    "reconstruct": ReconstructionRequest,
    "evaluate": ReconstructionRequest,  # and scored against the truth of the case
    "svr": SvrRequest,
    "synthesize": SynthesisRequest,
}
FILES = {"reconstruct": "contexts", "evaluate": "contexts", "svr": "stacks", "synthesize": "inputs"}
"""The field of the request that holds the files of a case."""
_OF_THE_BATCH = {"output", "format", "compress", *FILES.values()}


class Recipe(BaseModel):
    """What is done with every case.

    Attributes:
        operation: evaluate reconstructs, and scores the mean against the `truth` of the case.
        select: BIDS suffix of the scans that are taken, with --bids.
        slices: only these of every scan, counted from 0 (all if None).
        memory_gb: what one worker needs at most.
        options: fields of the request of the operation, the same for all cases.
    """

    model_config = ConfigDict(extra="forbid")
    operation: Literal["reconstruct", "svr", "synthesize", "evaluate"]
    select: str = "T1w"
    slices: list[int] | None = None
    memory_gb: float = Field(default=3.0, gt=0)
    options: dict[str, Any] = {}

    @property
    def request(self) -> type[Request]:
        """The data model of the operation's request."""
        return REQUESTS[self.operation]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises InputError for what is none, and for options that its operation does not know."""
    import yaml

    with file_errors(f"{path}: cannot be read"):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        recipe = Recipe.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML ({str(error).splitlines()[0]}).") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}.") from error
    known = set(recipe.request.model_fields) - _OF_THE_BATCH
    if wrong := sorted(set(recipe.options) - known):
        raise InputError(
            f"{path}: {recipe.operation} has no option {', '.join(wrong)}; expected some of "
            f"{', '.join(sorted(known))}."
        )
    return recipe
