"""The benchmark measures real processes."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from SparseVolumeReconstructionLib.evaluation import benchmark
from SparseVolumeReconstructionLib.evaluation.merge_benchmark import (
    MERGES,
    USUAL,
    Merge,
    merge_benchmark,
    merge_table,
)
from SparseVolumeReconstructionLib.geometry import InputError, Volume
from SparseVolumeReconstructionLib.observation import Radiograph
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.zoo import ModelStore

pytestmark = pytest.mark.slow  # it measures, each size in a process of its own


@pytest.fixture(scope="module")
def measured(store):
    calls = []
    result = benchmark.benchmark(
        "tiny",
        store,
        Progress(),
        device="cpu",
        round_trip=lambda: calls.append(1),
        contexts=(2,),
        sizes=(16, 96),
        sample_counts=(1, 64),
        runs=3,
    )
    return result, calls


@pytest.mark.slow
def test_rows_hold_what_was_asked(measured):
    result, calls = measured
    assert list(result["rows"]) == [
        "protocol",
        "2 contexts",
        "16^3 voxels",
        "96^3 voxels",
        "1 samples",
        "64 samples",
    ]
    assert result["rows"]["96^3 voxels"]["voxels"] == 96**3 and result["rows"]["protocol"]["samples_16_s"] > 0
    assert len(calls) == 4 and result["worker_round_trip_s"] >= 0
    json.dumps(result, allow_nan=False)


def test_models_of_radiographs_are_given_radiographs():
    settings = benchmark.settings_of(True, (1, 4), (16,), (8,))
    assert list(settings) == ["protocol", "1 radiographs", "4 radiographs", "16^3 voxels", "8 samples"]
    assert settings["4 radiographs"] == (None, 4, 1) and settings["16^3 voxels"] == (16, 1, 1)
    row = benchmark._measure(ModelStore().user_dir, "mouse-xray", "cpu", 16, 2, 1, 1)
    assert row["voxels"] == 16**3 and row["condition_mean_std_s"] > 0.2 * row["condition_mean_s"] > 0
    prior = ModelStore().load("mouse-xray", "cpu")
    body = Volume(prior.condition([]).mean().numpy(), prior.grid)
    given = benchmark._given(body, body.grid.with_spacing(3.2), 3, benchmark.of_rays(prior.card))
    assert len(given) == 3 and all(isinstance(one, Radiograph) for one in given)
    assert len({tuple(one.plane.normal.round(3)) for one in given}) == 3


def test_the_search_for_views_is_measured():
    seconds = benchmark._views(ModelStore().user_dir, "mouse-xray", "cpu", 1)
    assert list(seconds) == ["side", "unknown"] and all(s > 0 for s in seconds.values())
    row = {"contexts": 1, "voxels": 8, "condition_mean_s": 1.0, "condition_mean_std_s": 2.0, "sample_s": 1.0}
    row |= {"peak_mib": None, "samples_16_s": 16.0}
    told = {"prior": "x", "runs": 1, "machine": {"threads": 1, "torch": "2"}, "growth": {}}
    text = benchmark.table(told | {"rows": {"protocol": row}, "views_s": {"side": 0.1, "unknown": 0.5}})
    assert "2.000 s" in text and "views: side 0.10 s, unknown 0.50 s" in text


def test_larger_volumes_take_more_memory(measured):
    rows = measured[0]["rows"]
    growth = measured[0]["growth"]["16^3 voxels -> 96^3 voxels"]
    assert rows["96^3 voxels"]["peak_mib"] > rows["16^3 voxels"]["peak_mib"] + 10
    assert (
        growth["peak_mib"] == rows["96^3 voxels"]["peak_mib"] / rows["16^3 voxels"]["peak_mib"]
        and growth["condition_mean_s"] > 0
    )


def test_more_samples_take_more_memory(measured):
    rows = measured[0]["rows"]
    held = 64 * rows["64 samples"]["voxels"] * 4 / 2**20
    assert held < rows["64 samples"]["peak_mib"] - rows["64 samples"]["loaded_mib"] + 8
    assert measured[0]["growth"]["1 samples -> 64 samples"]["peak_mib"] > 1


def test_memory_is_that_of_the_child_and_not_of_the_parent():
    """A parent that holds much more must not show in the child's peak."""
    ballast = bytearray(900 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        peak = pool.submit(benchmark.peak_mib).result()
    assert 30 < peak < 850 and benchmark.peak_mib() > 900


def test_table_shows_every_row(measured):
    text = benchmark.table(measured[0])
    assert (
        all(name in text for name in measured[0]["rows"])
        and "16 samples at the protocol's size" in text
        and "worker round trip" in text
    )


def test_an_unknown_prior_is_refused(store):
    with pytest.raises(InputError, match="no model"):
        benchmark.benchmark("huge", store, Progress())


def test_merging_is_measured_with_its_growth():
    small = Merge(1, 16.0, 8.0)
    rows = merge_benchmark(Progress(), [small])
    row = rows["1 stacks of 16 mm to 8 mm"]
    assert row["slices"] >= 4 and row["voxels"] > 1000 and row["motion_s"] > 0 and row["volume_s"] > 0
    assert "1 stacks of 16 mm" in merge_table(rows)
    assert {merge.stacks for merge in MERGES} == {1, 3, 6, 12} and USUAL.spacing_mm == 0.8
