"""What the process can do: every operation with the request it takes and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..analysis.request import LocateRequest, NextPlaneRequest, SurpriseRequest
from ..geometry import InputError, first_problem
from ..progress import Progress
from ..reconstruction.request import ReconstructionRequest
from ..svr.request import SvrRequest
from ..synthesis.request import SynthesisRequest
from .masking import MaskRequest, find_masks
from .merging import merge_stacks
from .reading import ReadRequest, read_upload

if TYPE_CHECKING:
    from ..zoo import ModelStore


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
        except UnicodeEncodeError as error:  # half a pair of surrogates, which JSON may name
            raise InputError(f"request: a text that is none ({ascii(error.object)[:80]}).") from error
        return self.load_result(self.run(parsed, progress)).model_dump()


class Reconstructions:
    """Reconstructs requests one after the other.

    Models stay in memory between them, in `store` (made when needed).
    """

    def __init__(self, store: ModelStore | None = None):
        self._store = store

    def warm(self) -> None:
        """Import the heavy libraries before the first request.

        Where one is missing, the request will say so.
        """
        try:
            from ..reconstruction import run  # noqa: F401
        except ImportError:
            return

    def __call__(self, request: ReconstructionRequest, progress: Progress) -> dict[str, Any]:
        """{"files": {name: path}, "result": content of result.json} of a request.

        Raises:
            InputError: for wrong input and Cancelled when asked to stop.
        """
        from ..reconstruction.run import run_request

        return run_request(request, self.store, progress)

    @property
    def store(self) -> ModelStore:
        """The models, which stay in memory."""
        from ..zoo import ModelStore

        self._store = self._store or ModelStore()
        return self._store

    def next_plane(self, request: NextPlaneRequest, progress: Progress) -> dict[str, Any]:
        """See `analysis.planning.run_next_plane`."""
        from ..analysis.planning import run_next_plane

        return run_next_plane(request, self.store, progress)

    def locate(self, request: LocateRequest, progress: Progress) -> dict[str, Any]:
        """See `analysis.locating.run_locate`."""
        from ..analysis.locating import run_locate

        return run_locate(request, self.store, progress)

    def surprise(self, request: SurpriseRequest, progress: Progress) -> dict[str, Any]:
        """See `analysis.surprising.run_surprise`."""
        from ..analysis.surprising import run_surprise

        return run_surprise(request, self.store, progress)


def make_contrast(request: SynthesisRequest, progress: Progress) -> dict[str, Any]:
    """See `synthesis.run.run_synthesis`."""
    from ..synthesis.run import run_synthesis

    return run_synthesis(request, progress)


def operations(reconstructions: Reconstructions | None = None) -> dict[str, Operation]:
    """All operations by name; `reconstructions` keeps the models in memory between its requests."""
    reconstruct = reconstructions or Reconstructions()
    table = (
        Operation("reconstruct", ReconstructionRequest, reconstruct, warm=reconstruct.warm),
        Operation("next-plane", NextPlaneRequest, reconstruct.next_plane),
        Operation("locate", LocateRequest, reconstruct.locate),
        Operation("surprise", SurpriseRequest, reconstruct.surprise),
        Operation("read", ReadRequest, read_upload),
        Operation("mask", MaskRequest, find_masks),
        Operation("svr", SvrRequest, merge_stacks),
        Operation("synthesize", SynthesisRequest, make_contrast),
    )
    return {operation.name: operation for operation in table}
