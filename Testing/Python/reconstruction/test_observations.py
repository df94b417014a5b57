"""A second kind of observation is one module: a toy is defined here, requested, and believed exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from reconstruction.conftest import GRID

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation import Observation
from SparseVolumeReconstructionLib.observation.base import ObservedVoxels
from SparseVolumeReconstructionLib.observation.points import PointOperator
from SparseVolumeReconstructionLib.observation.spec import ObservationSpec, Reading
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest
from SparseVolumeReconstructionLib.reconstruction.run import run_request

STEP_MM = 8.0
NOISE = 2.0
AXES = (0,)


@dataclass(frozen=True, eq=False)
class LineIntegrals(Observation):
    """Integrals (n,) of the volume along lines, of points (steps, n, 3) RAS mm."""

    kind: ClassVar[str] = "line-integral"
    integrals: np.ndarray
    points: np.ndarray
    name: str
    source: str
    noise: float = NOISE

    @property
    def values(self):
        return self.integrals

    def operator(self, grid, *, mask=None, pose=None, device="cpu"):
        points = torch.as_tensor(self.points, dtype=torch.float32, device=device)
        if pose is not None:
            points = points.to(pose) @ pose[:3, :3].T + pose[:3, 3]
        return PointOperator(grid, points, points.new_full((len(points),), STEP_MM))

    def transformed(self, matrix):
        return replace(self, points=self.points @ matrix[:3, :3].T + matrix[:3, 3])

    def with_intensity(self, intensity):
        return self  # the toy measures canonical units

    def observed_voxels(self, grid):
        return ObservedVoxels.none()

    def provenance(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "source": self.source}


def along(grid, axis: int, source: str, array: np.ndarray) -> LineIntegrals:
    """Integrals of (K, J, I) on a grid along an array axis, through the middles of its voxels."""
    matrix, size = grid.ijk_to_ras, grid.shape_kji
    ends = float((size[axis] - 1) * grid.spacing_ijk[2 - axis])
    at = np.indices([1 if n == axis else size[n] for n in range(3)]).reshape(3, -1)[::-1].T
    start = at @ matrix[:3, :3].T + matrix[:3, 3]
    direction = matrix[:3, 2 - axis] / grid.spacing_ijk[2 - axis]
    points = start + np.arange(0, ends + 1e-6, STEP_MM)[:, None, None] * direction
    seen = LineIntegrals(np.zeros(len(at), np.float32), points, f"{source} along {axis}", source)
    volume = torch.as_tensor(array)[None]
    return replace(seen, integrals=seen.operator(grid).forward(volume)[0].numpy())


class LineIntegralSpec(ObservationSpec):
    """A volume of which only the integrals along one of its array axes are looked at."""

    kind: Literal["line-integral"] = "line-integral"
    axis: int

    def read(self) -> Reading:
        volume = read_volume(self.path)
        return Reading([along(volume.grid, self.axis, self.name, volume.array)])


def asked(request_for, *contexts: dict, **changes) -> ReconstructionRequest:
    """A request from its JSON; the subject is the one of `request_for`, in canonical units."""
    request = request_for(**changes)
    text = request.model_copy(update={"contexts": []}).model_dump() | {"contexts": list(contexts)}
    again = ReconstructionRequest.model_validate(text)
    return ReconstructionRequest.model_validate_json(again.model_dump_json())


@pytest.fixture
def head(request_for, registered, tmp_path):
    """The file of a subject in canonical units, whose axes are the prior's."""
    from SparseVolumeReconstructionLib.geometry import Volume
    from SparseVolumeReconstructionLib.geometry.io import write_volume

    request_for()
    write_volume(Volume(registered.array / 400, registered.grid), tmp_path / "head.nrrd")
    return str(tmp_path / "head.nrrd")


def test_the_toy_has_an_adjoint():
    seen = along(GRID, 0, "toy", np.zeros(GRID.shape_kji, np.float32))
    operator, generator = seen.operator(GRID), torch.Generator().manual_seed(0)
    x = torch.randn(2, *GRID.shape_kji, generator=generator)
    y = torch.randn(2, operator.count, generator=generator)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("with_slices", [False, True])
def test_from_json_to_the_exact_posterior(request_for, store, head, monkeypatch, with_slices):
    prior = store.load("tiny-head", "cpu")
    monkeypatch.setattr(prior, "adapt", False)
    contexts = [{"kind": "line-integral", "path": head, "axis": axis, "source": "toy"} for axis in AXES]
    if with_slices:
        contexts.append({"path": head, "slices": [12], "thickness_mm": 8.0})
    request = asked(request_for, *contexts, outputs=["mean"], keep_observed=False)
    assert [spec.kind for spec in request.contexts[: len(AXES)]] == ["line-integral"] * len(AXES)
    done = run_request(request, store, Progress())
    said = done["result"]["contexts"]
    assert [entry["kind"] for entry in said].count("line-integral") == len(AXES) and done["result"][
        "log_evidence"
    ]
    mean = read_volume(done["files"]["mean.nrrd"]).array
    truth = read_volume(head).array
    where = np.s_[12] if with_slices else np.s_[:]  # matching one slice's intensities costs the others
    blind = np.abs(prior.condition([]).mean().numpy() - truth)[where].mean()
    assert np.abs(mean - truth)[where].mean() < 0.95 * blind
    if not with_slices:
        exact = closed_form(prior.field(), [along(GRID, axis, "toy", truth) for axis in AXES])
        np.testing.assert_allclose(mean, np.maximum(exact, 0), atol=2e-3)
        assert done["result"]["voxels"]["observed"] == 0


def closed_form(field, seen: list[LineIntegrals]) -> np.ndarray:
    """Posterior mean (K, J, I) by a dense float64 solve in the space of the values."""
    operators = [one.operator(field.grid) for one in seen]
    eyes = [torch.eye(operator.count) for operator in operators]
    a = torch.cat([op.adjoint(eye) for op, eye in zip(operators, eyes, strict=True)])
    covariance = field.residual_covariance(a).flatten(1).double()
    a, w = a.flatten(1).double(), field.loadings.flatten(1).double()
    covariance = covariance + (a @ w.T) @ w
    sd = a @ field.sd.flatten().double()
    s = covariance @ a.T + torch.diag(field.noise * sd**2 + NOISE**2)
    values = torch.cat([torch.as_tensor(one.values) for one in seen]).double()
    mean = field.mean.flatten().double()
    found = mean + covariance.T @ torch.linalg.solve(s, values - a @ mean)
    return found.reshape(field.grid.shape_kji).numpy()


def test_where_the_body_lies_cannot_be_found_from_the_toy_alone(request_for, store, head):
    request = asked(request_for, {"kind": "line-integral", "path": head, "axis": 1}, frame="auto")
    with pytest.raises(InputError, match=r"head\.nrrd.* cannot be found from a line-integral alone"):
        run_request(request, store, Progress())


def test_unknown_kinds_and_wrong_fields_are_named(request_for, head):
    for context, says in [
        (
            {"kind": "hologram"},
            'kind "hologram" is not known; expected one of radiograph, slice, line-integral',
        ),
        ({"kind": "line-integral"}, r"contexts\.0\.axis"),
        ({"kind": "line-integral", "axis": 0, "slices": [1]}, r"contexts\.0\.slices"),
    ]:
        with pytest.raises(ValueError, match=says):
            asked(request_for, {"path": head, **context})
