"""Merging moving stacks: the field against the dense solution, poses, weights, and the whole command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from svr.phantom import SCAN, body, moving, write_stacks

from SparseVolumeReconstructionLib.geometry import Grid
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.progress import Cancelled, Progress
from SparseVolumeReconstructionLib.svr.field import FieldPosterior, FieldPrior
from SparseVolumeReconstructionLib.svr.pixels import pixels_of
from SparseVolumeReconstructionLib.svr.registration import Target, exp_rigid, log_rigid, register
from SparseVolumeReconstructionLib.svr.request import SvrRequest
from SparseVolumeReconstructionLib.svr.run import run_svr
from SparseVolumeReconstructionLib.svr.search import FAR, Found, find_motion, middle_of, still_poses
from SparseVolumeReconstructionLib.svr.simulate import simulate
from SparseVolumeReconstructionLib.svr.volume import merged_volume
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture(scope="module")
def small():
    """A field on 8^3 voxels of 4 mm, pixels of a few slices of a small body, and the dense answer."""
    found = simulate(body(12, 4.0), replace(SCAN, pixel_mm=6.0, thickness_mm=8.0), 2.0, 5.0, seed=1)
    pixels = pixels_of(found.slices, 0.0)
    grid = Grid.centred((10, 10, 10), 6.0, (5.0, -7.0, 11.0))
    precision = torch.rand(len(pixels.values), generator=torch.Generator().manual_seed(0)) * 400
    scale = 1 + 0.2 * torch.rand(len(pixels.values), generator=torch.Generator().manual_seed(1))
    field = FieldPosterior.of(FieldPrior(0.4, 0.2, 0.05), grid, pixels, found.poses, scale, precision)
    calm = 0.3 + torch.rand(grid.shape_kji, generator=torch.Generator().manual_seed(2))
    field = replace(field, calm=calm)
    a = field.operator.matrix.to_dense().double() * scale[:, None]
    unit = torch.eye(grid.size).reshape(-1, *grid.shape_kji)
    root = field.prior.root(unit, 6.0).reshape(grid.size, -1).double()
    inverse = torch.linalg.inv(a.T @ (precision[:, None] * a) + root @ (calm.flatten()[:, None] * root))
    mean = 0.4 + inverse @ (a.T @ (precision * (pixels.values - 0.4 * a.sum(1))))
    return field, mean, inverse


def test_the_mean_is_that_of_the_dense_solution(small):
    field, mean, _ = small
    solved = field.solve([], tolerance=1e-6, iterations=500)[0].flatten()
    assert (solved - mean).abs().max() < 2e-3 * mean.std()


def test_samples_spread_as_the_dense_covariance_says(small):
    field, _, inverse = small
    drawn = field.solve(list(range(200)), tolerance=1e-4, iterations=300)
    spread = (drawn[1:] - drawn[0]).flatten(1).std(0).double()
    seen = field.seen().flatten()
    ratio = (spread / inverse.diagonal().sqrt())[seen]
    assert abs(float(ratio.mean()) - 1) < 0.03 and float(ratio.std()) < 0.08


def test_the_prior_gives_way_at_edges_and_not_elsewhere(small):
    field, _, _ = small
    grid = Grid.centred((48, 48, 48), 1.0)
    prior = FieldPrior(0.4, 0.2, 1 / 5)
    noise = torch.randn(1, *grid.shape_kji, generator=torch.Generator().manual_seed(0))
    spectrum = prior.spectrum(grid, "cpu").rsqrt()
    drawn = 0.4 + torch.fft.irfftn(torch.fft.rfftn(noise[0]) * spectrum, s=grid.shape_kji)
    calm = replace(field, prior=prior, grid=grid).preserving_edges(drawn).calm
    assert float(calm.mean()) == pytest.approx(1, abs=0.1)  # what is as rough as the prior says stays so
    drawn[:, :, 24:] += 1.0
    calm = replace(field, prior=prior, grid=grid).preserving_edges(drawn).calm
    assert float(calm[:, :, 24].mean()) < 0.5 and float(calm[:, :, 12].mean()) == pytest.approx(1, abs=0.15)


def test_the_prior_has_the_spread_and_the_covariance_that_it_says():
    prior, grid = FieldPrior(0.0, 0.3, 0.1), Grid.centred((64, 64, 64), 2.0)
    variance = torch.fft.irfftn(1 / prior.spectrum(grid, "cpu"), s=grid.shape_kji)
    assert float(variance[0, 0, 0]) == pytest.approx(0.09, rel=0.15)
    assert float(variance[0, 0, 5] / variance[0, 0, 1]) == pytest.approx(np.exp(-0.1 * 8.0), rel=0.1)


def test_a_rigid_movement_is_the_exponential_of_its_logarithm():
    xi = 0.5 * torch.randn(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centre = torch.tensor([4.0, -2.0, 7.0], dtype=torch.float64)
    assert (log_rigid(exp_rigid(xi, centre), centre) - xi).abs().max() < 1e-9


def test_poses_are_found_in_a_known_volume_to_a_tenth_of_a_voxel():
    """And as exactly as their standard deviations say."""
    found = moving(3.0, 5.0, spoiled=0.0, seed=2)
    truth, pixels = body(), pixels_of(found.slices, 0.0)
    target = Target.of(torch.as_tensor(truth.array), truth.grid, torch.tensor([5.0, -7.0, 11.0]))
    precision = torch.full_like(pixels.values, 1 / 0.03**2)
    start = torch.eye(4, dtype=torch.float64).repeat(pixels.count, 1, 1)
    done = register(target, pixels, start, precision, torch.arange(pixels.count), steps=20)
    away = log_rigid(done.poses @ torch.linalg.inv(torch.as_tensor(found.poses)), target.centre.double())
    assert float(away[:, 3:].norm(dim=1).median()) < 0.2
    assert 0.3 < float((away / done.sd).abs().median()) < 1.6  # 0.67 where the noise is what was said


def test_slices_of_a_group_move_together():
    found = moving(0.0, 0.0, spoiled=0.0, seed=3)
    truth, pixels = body(), pixels_of(found.slices, 0.0)
    centre = torch.tensor([5.0, -7.0, 11.0])
    target = Target.of(torch.as_tensor(truth.array), truth.grid, centre)
    xi = torch.tensor([[0.05, -0.03, 0.04, 1.5, -2.0, 1.0]], dtype=torch.float64)
    start = exp_rigid(xi, centre.double()).repeat(pixels.count, 1, 1)
    precision = torch.full_like(pixels.values, 1 / 0.03**2)
    done = register(target, pixels, start, precision, torch.zeros(pixels.count, dtype=torch.long), steps=20)
    assert len(done.sd) == 1 and float((done.poses - torch.eye(4)).abs().max()) < 0.1
    assert float((done.poses - done.poses[0]).abs().max()) < 1e-9


@pytest.mark.parametrize("seed", [6, 7])
def test_slices_that_moved_far_are_found_by_a_first_volume(seed):
    """By up to half the width of the body, in one round: starts near by alone found .56 and .59."""
    found = moving(20.0, 30.0, seed=seed)
    placed = find_motion(found.slices, body(), levels=(replace(FAR, rounds=1),)).poses.numpy()
    away = []
    for each, wrong in zip(found.slices, placed - found.poses, strict=True):
        points = each.image.plane.points_ras()[each.mask.ravel()]
        away.append(np.linalg.norm(points @ wrong[:3, :3].T + wrong[:3, 3], axis=1).mean())
    assert (np.array(away)[~found.spoiled] < 2).mean() > 0.8


def request(paths, output, **words) -> SvrRequest:
    stacks = [{"path": path, "thickness_mm": SCAN.thickness_mm} for path in paths]
    return SvrRequest(stacks=stacks, output=str(output), spacing_mm=2.0, prior="none", **words)


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """Stacks with motion as files, the truth, and the folder of what was made of them."""
    folder = tmp_path_factory.mktemp("svr")
    found = moving(3.0, 4.0, seed=1)
    paths = write_stacks(found, folder)
    told = []
    wanted = request(paths, folder / "out", outputs=["volume", "std", "poses", "samples"], samples=2)
    run_svr(wanted, ModelStore(), Progress(warned=told.append))
    return found, paths, folder, told


def test_merged_slices_are_predicted_better_than_as_they_lie(merged):
    found, _, folder, told = merged
    said = json.loads((folder / "out" / "result.json").read_text())
    check = said["self_check"]
    assert check["ncc"]["after"] > check["ncc"]["before"] + 0.02
    assert check["psnr_db"]["after"] > check["psnr_db"]["before"] + 1.5
    assert said["device"] == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert said["warnings"] == told and "Not for diagnosis" in said["notice"]
    poses = json.loads((folder / "out" / "poses.json").read_text())
    assert len(poses) == len(found.slices)
    assert all(0 <= p["weight"] <= 1 and bool(p["reason"]) == (p["weight"] < 0.5) for p in poses)


def test_the_volume_is_in_the_units_of_the_first_stack_with_its_uncertainty(merged):
    _, _, folder, _ = merged
    volume, std, seen = (read_volume(folder / "out" / f"{n}.nrrd") for n in ("volume", "std", "seen"))
    assert volume.grid.same_as(std.grid) and np.allclose(volume.grid.spacing_ijk, 2.0)
    inside = volume.array > 100
    around = (volume.array == 0) & (seen.array == 0)
    assert 150 < volume.array[inside].mean() < 260 and around[0].all() and around[:, :, -1].all()
    assert 0 < std.array[inside].mean() < 60 < std.array[around].min()
    page = (folder / "out" / "report.html").read_text()
    assert "Not for diagnosis" in page and "data:image/png" in page


def test_gaps_between_slices_are_inferred_and_said_to_be_so():
    """Slices of one direction with one missing: the gap is no hole, but not passed off as seen."""
    found = simulate(body(), replace(SCAN, axes=(2,)), 0.0, 0.0, spoiled=0.0, seed=1)
    slices = [s for n, s in enumerate(found.slices) if n != 4]
    poses = still_poses(len(slices))
    sd, gain = torch.zeros(len(slices), 6), torch.ones(len(slices))
    still = Found(poses, sd, gain, None, None, middle_of(slices))
    made = merged_volume(slices, still, 1.0)
    truth = resample(body(), made.mean.grid).array
    seen = made.seen.array > 0
    gap = ~seen & (truth > 0.3)
    assert gap.sum() > 500
    assert np.abs(made.mean.array - truth)[gap].mean() < 0.12
    smooth = merged_volume(slices, still, 1.0, length_mm=20.0).mean.array
    assert np.abs(smooth - truth)[gap].mean() < 0.9 * np.abs(made.mean.array - truth)[gap].mean()
    assert made.std.array[gap].mean() > 1.1 * made.std.array[seen & (truth > 0.3)].mean()
    assert not made.mean.array[0].any()


def test_the_same_seed_gives_the_same_bytes(merged, tmp_path):
    _, paths, folder, _ = merged
    wanted = request(paths, tmp_path, outputs=["volume", "std", "poses", "samples"], samples=2)
    run_svr(wanted, ModelStore(), Progress())
    for name in ("volume.nrrd", "std.nrrd", "samples.seq.nrrd", "poses.json"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes(), name


def test_it_can_be_cancelled_at_every_step(merged, tmp_path):
    _, paths, _, _ = merged
    for step in ("motion, 3.2", "volume"):
        steps: list[str] = []
        progress = Progress(lambda e, to=steps: to.append(e.step), lambda s=step, of=steps: reached(s, of))
        with pytest.raises(Cancelled):
            run_svr(request(paths, tmp_path / "out"), ModelStore(), progress)
    assert not list(tmp_path.iterdir())


def reached(step: str, steps: list[str]) -> bool:
    """Whether any of the steps begins so."""
    return any(each.startswith(step) for each in steps)
