"""Scores where the answer is known, and their summary."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from SparseVolumeReconstructionLib.evaluation import scores
from SparseVolumeReconstructionLib.evaluation.cases import Case
from SparseVolumeReconstructionLib.evaluation.detector import Detector, looked_at
from SparseVolumeReconstructionLib.evaluation.sample_scores import distances
from SparseVolumeReconstructionLib.geometry import Grid, Volume

SHAPE = (40, 48, 44)


class KnownGaussian:
    """A posterior that is right by construction: the truth was drawn from it."""

    def __init__(self, mean, sd):
        self.mean_, self.sd = mean, sd

    def mean(self):
        return self.mean_

    def interval(self, level):
        half = norm.ppf(0.5 + level / 2) * self.sd
        return self.mean_ - half, self.mean_ + half

    def sample(self, seeds):
        return np.stack(
            [self.mean_ + self.sd * np.random.default_rng(seed).normal(size=SHAPE) for seed in seeds]
        )


@pytest.fixture(scope="module")
def known():
    random = np.random.default_rng(7)
    mean = 0.5 + 0.1 * np.sin(np.indices(SHAPE).sum(0) / 5)
    truth = (mean + 0.05 * random.normal(size=SHAPE)).astype(np.float32)
    brain = np.zeros(SHAPE, bool)
    brain[:, 5:40, 5:40] = True
    return Case(
        "someone", Volume(truth, Grid.centred(SHAPE, (1.0, 1.0, 2.0))), brain, (0, 40)
    ), KnownGaussian(mean, 0.05)


def test_coverage_of_the_true_posterior_is_nominal_and_leaves_observed_voxels_out(known):
    case, posterior = known
    positions = case.positions(3)
    spoiled = KnownGaussian(posterior.mean_.copy(), 0.05)
    spoiled.mean_[positions] = 9
    for distribution in (posterior, spoiled):
        found = scores.score_mean(case, positions, scores.with_observed(distribution.mean_, case, positions))
        scores.add_distribution(found, case, positions, distribution, list(distribution.sample([0, 1, 2])))
        for key, level in scores.COVERAGE.items():
            assert found.values[key] == pytest.approx(level, abs=0.01)
            assert found.coverage[key][:, 0].sum() == 37 * 35 * 35
        assert found.values["ssim_of_samples"] < found.values["ssim"] - 0.01
        assert found.values["sample_difference"] == pytest.approx(0.05 * 2**0.5, rel=0.02), (
            "two independent draws"
        )


def test_samples_of_the_true_posterior_spread_and_look_as_the_truth_does(known):
    case, posterior = known
    positions, narrow = case.positions(3), KnownGaussian(posterior.mean_, 0.025)
    tally = scores.Tally()
    for name, distribution, ratio in (("right", posterior, 1.0), ("narrow", narrow, 0.5)):
        found = scores.score_mean(case, positions, scores.with_observed(distribution.mean_, case, positions))
        scores.add_distribution(found, case, positions, posterior, list(distribution.sample(range(100, 140))))
        tally.add(name, 3, case, found)
        assert found.values["sample_spread"] == pytest.approx(ratio, rel=0.03)
        ideal = norm.cdf(1.645 * ratio) - norm.cdf(-1.645 * ratio)
        assert found.values["sample_coverage_90"] == pytest.approx(ideal * 39 / 41, abs=0.03), "of 40 samples"
    drawn = {name: table["3"] for name, table in tally.samples().items()}
    assert all(value == pytest.approx(1, rel=0.05) for value in drawn["right"]["spread"].values())
    assert set(drawn["narrow"]["spread"]) == {"0-3 mm", "3-6 mm", "6-10 mm", "10-15 mm", "15-20 mm"}
    assert np.abs(drawn["right"]["spectrum_db"]).max() < 1.5
    assert drawn["narrow"]["spectrum_db"][-1] == pytest.approx(20 * np.log10(0.5), abs=1.0), "less detail"


def test_a_network_tells_what_is_blurred_and_not_what_is_alike():
    chance = np.random.default_rng(0)

    def bodies(count):
        return gaussian_filter(chance.normal(size=(count, 48, 40)), (0, 1, 1)).astype(np.float32)

    def blurred(slices):
        return gaussian_filter(slices, (0, 0.6, 0.6))

    for changed, low, high in ((blurred, 0.9, 1.0), (np.copy, 0.3, 0.7)):
        detector = Detector(bodies(64), changed(bodies(64)))
        assert low <= detector.auc(bodies(64), changed(bodies(64))) <= high
    assert np.isnan(detector.auc(bodies(1), bodies(0)))
    truth = np.zeros((12, 10, 10), np.float32)
    truth[2:10] = 1
    assert looked_at(truth, [4]).tolist() == [2, 6, 7, 8, 9], "anatomy, and no neighbour of what was observed"
    assert not len(looked_at(0 * truth, []))


def test_distances_are_to_the_nearest(known):
    case, _ = known
    truth, inside = case.truth.array, {"": case.brain, "_no": np.zeros_like(case.brain)}
    found = distances(np.stack([truth + 0.1, truth - 0.2]), np.stack([truth, truth + 3]), inside)
    assert found[""] == pytest.approx(0.15, abs=1e-4) and np.isnan(found["_no"])


def test_observed_slices_are_perfect_and_only_they_are_excluded(known):
    case, _ = known
    positions = case.positions(4)
    found = scores.score_mean(case, positions, scores.with_observed(np.zeros(SHAPE), case, positions))
    assert np.allclose(found.curve[positions], 1)
    rest = np.delete(found.curve, positions)
    assert found.values["ssim_excluding_contexts"] == pytest.approx(rest.mean())
    assert found.values["ssim"] == pytest.approx((4 + rest.sum()) / 40)


def test_the_truth_scores_one(known):
    case, _ = known
    values = scores.score_mean(case, [], case.truth.array).values
    assert [
        values[k] for k in ("ssim", "ssim_excluding_contexts", "ssim_in_brain", "cc_volume", "cc_slice")
    ] == pytest.approx([1] * 5)


def test_pasting_leaves_the_estimate_alone(known):
    estimate = np.zeros(SHAPE, np.float32)
    scores.with_observed(estimate, known[0], [3])
    assert not estimate.any()


def test_summary_has_means_medians_and_none(known):
    case, _ = known
    tally = scores.Tally()
    for n, (ssim, seconds) in enumerate([(0.5, 1.0), (0.7, 2.0), (0.6, 9.0)]):
        subject = Case(f"s{n}", case.truth, case.brain, case.extent)
        values = {"ssim": ssim, "seconds_mean": seconds, "cc_slice": np.nan, "psnr": np.inf}
        counts = np.array([[10, 5 + n], *[[0, 0]] * 6])
        tally.add(
            "a", 3, subject, scores.Scores(values, np.full(40, ssim), dict.fromkeys(scores.COVERAGE, counts))
        )
    row = tally.summary(["a", "b"], [3])["a"]["3"]
    assert (
        row["ssim"] == pytest.approx(0.6)
        and row["seconds_mean"] == 2.0
        and row["psnr"] is None
        and row["cc_slice"] is None
    )
    assert set(tally.summary(["a", "b"], [3])["b"]["3"].values()) == {None}
    assert tally.curves()["a"]["3"] == pytest.approx([0.6] * 40)
    table = tally.coverage_by_distance()["a"]["3"]
    assert table == {"0-3 mm": {"voxels": 30, **dict.fromkeys(scores.COVERAGE, pytest.approx(0.6))}}
    assert tally.by_subject()["a"]["3"]["s1"]["psnr"] is None
    json.dumps([tally.by_subject(), table], allow_nan=False)
