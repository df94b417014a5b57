"""What the process can do: every operation with the request it takes and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..geometry import InputError, first_problem
from ..progress import Progress
from ..reconstruction.request import ReconstructionRequest
from .jobs import ReconstructionJob
from .reading import ReadRequest, read_upload


class Answer(BaseModel):
    """What every operation answers.

    files: what was written, by name. result: the rest, JSON-ready.
    """

    model_config = ConfigDict(extra="forbid")
    files: dict[str, str] = Field(default_factory=dict)
    result: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One kind of request.

    name: "op" of its messages. request_model: what a request must be. run: does it. load_result: the answer
    as an object. warm: called once before the first request.
    """

    name: str
    request_model: type[BaseModel]
    run: Callable[[Any, Progress], dict[str, Any]]
    load_result: Callable[[dict[str, Any]], BaseModel] = Answer.model_validate
    warm: Callable[[], None] = lambda: None

    def __call__(self, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Do a request.

        Args:
            request: plain data of a `request_model`.
            progress: told of steps, asked whether to stop.

        Returns:
            Plain data that `load_result` takes.

        Raises:
            InputError: wrong input.
            Cancelled: when asked to stop.
        """
        try:
            parsed = self.request_model.model_validate(request)
        except ValidationError as error:
            raise InputError(f"{first_problem(error)}.") from error
        return self.load_result(self.run(parsed, progress)).model_dump()


def operations(job: ReconstructionJob | None = None) -> dict[str, Operation]:
    """All operations by name; `job` keeps the models in memory between its requests."""
    job = job or ReconstructionJob()
    table = (
        Operation("reconstruct", ReconstructionRequest, job, warm=job.warm),
        Operation("read", ReadRequest, read_upload),
    )
    return {operation.name: operation for operation in table}
