"""What the process does for a reconstruct request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..progress import Progress

if TYPE_CHECKING:
    from ..reconstruction.request import ReconstructionRequest
    from ..zoo import ModelStore


class ReconstructionJob:
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
        from ..zoo import ModelStore

        self._store = self._store or ModelStore()
        return run_request(request, self._store, progress)
