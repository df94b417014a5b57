"""The real process with a real, tiny prior: from files to a result folder, warm the second time, cancelled,
killed, refused.
"""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest
from SparseVolumeReconstructionLib.worker import WorkerClient, WorkerError
from SparseVolumeReconstructionLib.worker.operations import Answer, Reconstructions, operations
from SparseVolumeReconstructionLib.zoo import ModelStore

IMAGES = ("mean", "std", "observed", "template", "template_mask")
ALL = {*(f"{name}.nrrd" for name in IMAGES), "samples.seq.nrrd", "frame.h5", "result.json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory, write_weights):
    """A client of the real worker, whose store holds the model "tiny"."""
    folder = tmp_path_factory.mktemp("models")
    ModelStore(folder / "store").import_file(write_weights(folder / "tiny.safetensors"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVR_MODELS_DIR", str(folder / "store"))
        client = WorkerClient()
        yield client
        client.close()


@pytest.fixture
def request_for(tmp_path):
    """Function: a request (plain data) for two slices of an ellipsoid like the prior's; keywords
    change it.
    """
    grid = Grid.centred((12, 14, 13), 12.0)
    radius = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1).reshape(grid.shape_kji)
    body = np.where(radius < 1, 300 + 550 * radius, 0).astype(np.float32)
    write_volume(Volume(body, grid), tmp_path / "body.nrrd")
    contexts = [{"path": str(tmp_path / "body.nrrd"), "slices": [4, 8]}]

    def make(**changes) -> dict:
        fields = {
            "prior": "tiny",
            "contexts": contexts,
            "frame": "registered",
            "like": str(tmp_path / "body.nrrd"),
        }
        return ReconstructionRequest(**{**fields, "output": str(tmp_path / "out"), **changes}).model_dump()

    return make


def test_a_request_becomes_a_folder_and_the_model_stays_warm(client, request_for, tmp_path):
    steps, began = [], time.monotonic()
    answer = client.run(request_for(samples=2, seed=7), steps.append)
    cold = time.monotonic() - began
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(answer["files"]) == ALL
    assert answer["result"]["prior"]["id"] == "tiny" and answer["result"]["seed"] == 7
    mean, body = read_volume(tmp_path / "out" / "mean.nrrd"), read_volume(tmp_path / "body.nrrd")
    assert np.allclose(mean.array[[4, 8]], body.array[[4, 8]], atol=1e-3)
    fractions = [event.fraction for event in steps]
    assert (
        fractions == sorted(fractions) and fractions[-1] == 1.0 and len({event.step for event in steps}) >= 4
    )
    pid, began = client.pid, time.monotonic()
    client.run(request_for(samples=2, seed=7))
    assert client.pid == pid and time.monotonic() - began < cold


def test_questions_are_answered_by_the_same_process(client, request_for, tmp_path):
    """The three operations of analysis/, with the model that a reconstruction left warm."""
    common = {name: request_for()[name] for name in ("prior", "contexts", "frame")}
    planes = client.submit({**common, "among": "stack", "count": 1}, operation="next-plane").result()
    assert planes["files"] == {} and 0 < planes["result"]["planes"][0]["gain"] < 1
    best = planes["result"]["sequence"][0]
    wanted = [{"point": best["origin"], "normal": [-2 * each for each in best["normal"]]}]
    asked = {**common, "among": "stack", "count": 1, "plan": wanted}
    (judged,) = client.submit(asked, operation="next-plane").result()["result"]["plan"]
    assert judged == {name: pytest.approx(best[name], abs=1e-3) for name in ("gain", "variance_left")}
    asked["plan"] = [{"point": [0, 0, 0], "normal": [0, 0, 0]}]
    with pytest.raises(WorkerError, match="expected a direction"):
        client.submit(asked, operation="next-plane").result()
    places = client.submit({**common, "frame": "auto"}, operation="locate").result()
    assert places["result"]["modes"][0]["probability"] > 0
    found = client.submit({**common, "output": str(tmp_path / "surprise")}, operation="surprise").result()
    assert len(found["result"]["slices"]) == 2
    assert set(found["files"]) == {path.name for path in (tmp_path / "surprise").iterdir()}


def test_zero_contexts_give_the_prior(client, request_for, tmp_path):
    client.run(request_for(contexts=[]))
    assert not read_volume(tmp_path / "out" / "observed.nrrd").array.any()
    assert read_volume(tmp_path / "out" / "mean.nrrd").array.max() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": "unknown"}, "unknown"),
        ({"contexts": [{"path": "/nowhere.nrrd"}]}, "no such file"),
        ({"device": "cuda:7"}, "cuda:7"),
        ({"output": "/proc/nowhere/out"}, "could not be written"),
    ],
)
def test_wrong_input_is_told_in_one_line(client, request_for, changes, message):
    with pytest.raises(WorkerError, match=message) as caught:
        client.run(request_for(**changes))
    assert caught.value.kind == "input" and "\n" not in str(caught.value)


def test_a_request_with_unknown_fields_is_wrong_input(client, request_for):
    with pytest.raises(WorkerError, match="colour") as caught:
        client.run({**request_for(), "colour": "blue"})
    assert caught.value.kind == "input"


def test_cancel_leaves_nothing_and_the_next_request_works(client, request_for, tmp_path):
    job = client.submit(request_for(samples=1000, spacing_mm=2.0, like=None))
    while not job.progress.step.startswith("samples"):
        client.poll(0.05)
        assert not job.done()
    began = time.monotonic()
    job.cancel()
    with pytest.raises(WorkerError, match="cancelled"):
        job.result()
    assert time.monotonic() - began < 1.0
    assert {path.name for path in tmp_path.iterdir()} == {"body.nrrd"}
    assert client.run(request_for())["files"]


def test_kill_during_a_run_is_told_and_the_next_request_works(client, request_for):
    job = client.submit(request_for(samples=1000, spacing_mm=2.0, like=None))
    while not job.progress.step:
        client.poll(0.05)
    os.kill(client.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="exit code -9") as caught:
        job.result()
    assert caught.value.kind == "internal"
    assert client.run(request_for())["files"]


class ShortOfMemory(ModelStore):
    """A store whose GPU is full."""

    def load(self, model_id, device="auto"):
        """On the CPU only."""
        if device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().load(model_id, device)


def test_lack_of_gpu_memory_is_made_good_on_the_cpu_and_said(request_for, write_weights, tmp_path):
    store = ShortOfMemory(tmp_path / "store")
    store.import_file(write_weights(tmp_path / "tiny.safetensors"))
    reconstruct = operations(Reconstructions(store))["reconstruct"]
    answer = reconstruct(request_for(), Progress())
    assert any("memory" in warning and "CPU" in warning for warning in answer["result"]["warnings"])
    assert (
        json.loads((tmp_path / "out" / "result.json").read_text())["warnings"] == answer["result"]["warnings"]
    )


@pytest.mark.parametrize("name", sorted(operations()))
def test_every_operation_refuses_what_its_request_is_not(name):
    """A wrong request is named by its field in one line, whichever operation it was meant for."""
    operation = operations()[name]
    first = next(iter(operation.request_model.model_fields))
    with pytest.raises(InputError, match=rf"^{first}: [^\n]*\.$"):
        operation({}, Progress())


def test_what_an_operation_answers_is_loaded_as_one_kind_of_object():
    for operation in operations().values():
        answer = operation.load_result({"files": {"mean.nrrd": "/x/mean.nrrd"}, "result": {"n": 1}})
        assert isinstance(answer, Answer) and answer.files == {"mean.nrrd": "/x/mean.nrrd"}
        with pytest.raises(ValueError, match="path"):
            operation.load_result({"path": "elsewhere"})
