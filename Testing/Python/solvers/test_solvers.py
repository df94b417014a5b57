"""Solvers against dense references in float64."""

import subprocess

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.solvers import (
    LowRankPreconditioner,
    block_inverse,
    circulant_inverse,
    conjugate_gradients,
    log_determinant,
)
from SparseVolumeReconstructionLib.solvers.adam import Adam


def covariance(size: int, seed: int, floor: float = 0.1) -> torch.Tensor:
    """Symmetric positive definite (size, size), eigenvalues between `floor` and a few."""
    roots = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return roots @ roots.T / size + floor * torch.eye(size, dtype=torch.float64)


class Lattices:
    """Two images of 6 x 5 pixels, all of them observed."""

    shape = (6, 5)

    def split(self, pixels):
        return [part.reshape(len(pixels), *self.shape) for part in pixels.split(30, 1)]

    def join(self, images):
        return torch.cat([image.flatten(1) for image in images], 1)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 999), st.booleans())
@settings(max_examples=40, deadline=None)
def test_conjugate_gradients_solve(size, rows, seed, with_diagonal):
    s = covariance(size, seed)
    right = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    scale = s.diagonal() if with_diagonal else torch.ones(size, dtype=torch.float64)
    found = conjugate_gradients(lambda x: x @ s, right, lambda x: x / scale, tolerance=1e-10)
    assert float((found @ s - right).norm()) < 1e-9 * float(right.norm()) * rows**0.5
    torch.testing.assert_close(found, torch.linalg.solve(s, right.T).T, rtol=1e-7, atol=1e-7)


def test_a_good_preconditioner_saves_steps_and_a_stop_is_heard():
    s, right, steps = covariance(60, 1, 0.01), torch.ones(1, 60, dtype=torch.float64), []
    for precondition in (lambda x: x, lambda x: torch.linalg.solve(s, x.T).T):
        calls = []
        conjugate_gradients(
            lambda x: x @ s, right, precondition, tolerance=1e-8, check=lambda c=calls: c.append(1)
        )
        steps.append(len(calls))
    assert steps[1] == 1 < 5 < steps[0]

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conjugate_gradients(lambda x: x @ s, right, tolerance=1e-8, check=stop)
    assert conjugate_gradients(lambda x: x, torch.zeros(2, 0), tolerance=1.0).shape == (2, 0)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_log_determinant_of_a_multiple_of_one_is_exact(size):
    like = torch.zeros(size, dtype=torch.float64)
    assert log_determinant(lambda x: 3.0 * x, like) == pytest.approx(size * 1.0986123, abs=1e-5)
    assert log_determinant(lambda x: x, like[:0]) == 0.0


def test_the_log_determinant_is_near_the_dense_one_and_always_the_same():
    s, like = covariance(300, 2, 0.5), torch.zeros(300, dtype=torch.float64)
    found = [log_determinant(lambda x: x @ s, like, probes=30) for _ in range(2)]
    exact = float(torch.linalg.slogdet(s)[1])
    assert found[0] == found[1] and abs(found[0] - exact) < 0.05 * 300
    assert abs(log_determinant(lambda x: 1.1 * x @ s, like, probes=30) - found[0] - 300 * 0.0953102) < 0.01


def test_the_preconditioner_is_the_inverse_where_the_covariance_is_what_it_assumes():
    """White residuals (a flat spectrum) and a low-rank part: then nothing is approximate."""
    generator = torch.Generator().manual_seed(0)
    sd = torch.rand(60, generator=generator, dtype=torch.float64) + 0.5
    low_rank = torch.randn(3, 60, generator=generator, dtype=torch.float64)
    spectra = [torch.full((12, 6), value, dtype=torch.float64) for value in (2.0, 0.7)]
    residual = torch.tensor([2.0] * 30 + [0.7] * 30, dtype=torch.float64) * sd**2
    whole = circulant_inverse(Lattices(), spectra, sd)
    halves = [lambda v, part=part: v / part for part in residual.split(25)]
    for residual_inverse in (whole, block_inverse(halves, [25, 25, 10]), block_inverse([whole], [60])):
        check_inverse(LowRankPreconditioner(residual_inverse, low_rank), residual, low_rank)


def check_inverse(inverse, residual, low_rank):
    """The inverse of diag(residual) + low_rank' low_rank."""
    generator = torch.Generator().manual_seed(1)
    s = torch.diag(residual) + low_rank.T @ low_rank
    right = torch.randn(4, 60, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(inverse(right), torch.linalg.solve(s, right.T).T, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inverse.residual_inverse(right), right / residual)
    m = torch.eye(3, dtype=torch.float64) + low_rank @ torch.diag(1 / residual) @ low_rank.T
    torch.testing.assert_close(inverse.m_factor @ inverse.m_factor.T, m)


def adam_steps(kind: type[torch.optim.Optimizer]) -> torch.Tensor:
    """Where some steps of two rates lead, (8,)."""
    ends = [torch.linspace(-1, 2, n).requires_grad_() for n in (5, 3)]
    groups = [{"params": [end], "lr": rate} for end, rate in zip(ends, (0.1, 0.01), strict=True)]
    optimiser = kind(groups, betas=(0.8, 0.95))
    for _ in range(5):
        optimiser.zero_grad()
        (ends[0].square().sum() * (ends[1] + 1).square().sum()).backward()
        optimiser.step()
    return torch.cat(ends).detach()


def test_adam_steps_as_torch_does():
    assert torch.equal(adam_steps(Adam), adam_steps(torch.optim.Adam))


@pytest.mark.slow
def test_a_run_imports_neither_a_compiler_nor_all_distributions(python, library_environment):
    """Each takes a process a second or half of one before it computes."""
    code = (
        "import sys, torch, SparseVolumeReconstructionLib.reconstruction.run\n"
        "from SparseVolumeReconstructionLib.solvers.adam import Adam\n"
        "at = torch.ones(2, requires_grad=True)\n"
        "adam = Adam([at])\n"
        "adam.zero_grad(), at.sum().backward(), adam.step()\n"
        "assert at[0] < 1 and not {'torch._dynamo', 'scipy.stats'} & set(sys.modules)\n"
    )
    done = subprocess.run([python, "-c", code], env=library_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
