"""The processes against their whole covariance matrix, in any order, and recurrent against closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.priors.bruno.process import ExchangeableProcess, PoseProcess, _chi_square

NAMES, KINDS = ["exchangeable", "pose"], ["gaussian", "student"]
EVERY = [(name, kind) for name in NAMES for kind in KINDS]
SEEDS, COUNTS = st.integers(0, 10_000), st.integers(0, 12)


def slices(seed: int, count: int, queries: int = 3, dimensions: int = 3):
    """Latents (2, count, D), positions (2, count), queries (2, queries), all float64."""
    random = torch.Generator().manual_seed(seed)
    real = {"generator": random, "dtype": torch.float64}
    return (
        2 * torch.randn(2, count, dimensions, **real),
        torch.rand(2, count, **real),
        torch.rand(2, queries, **real),
    )


def close(a, b, tolerance=1e-6):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=SEEDS, count=COUNTS)
@settings(max_examples=30, deadline=None)
def test_the_recurrent_form_is_the_closed_form(make_process, kind, seed, count):
    process = make_process("exchangeable", kind, seed)
    z, position, query = slices(seed, count, 1)
    state, chained = process.start(2), torch.zeros(2, dtype=torch.float64)
    for n in range(count):
        chained += process.next(state).log_density(z[:, n : n + 1]).sum((1, 2))
        state = process.update(state, z[:, n])
    after, closed = process.next(state), process.predict(z, position, query)
    close(after.mean, closed.mean)
    close(after.variance, closed.variance)
    close(chained, process.log_density(z, position))


@pytest.mark.parametrize(("name", "kind"), EVERY)
@given(seed=SEEDS, count=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_log_density_is_that_of_the_whole_covariance(
    make_process, dense_covariance, dense_log_density, name, kind, seed, count
):
    process = make_process(name, kind, seed)
    z, position, _ = slices(seed, count)
    expected = np.zeros(2)
    for body in range(2):
        for d in range(3 if count else 0):
            covariance = dense_covariance(process, position[body].numpy(), d)
            dof = None if process.dof is None else process.dof[d].item()
            expected[body] += dense_log_density(z[body, :, d].numpy(), covariance, dof)
    close(process.log_density(z, position).detach(), torch.as_tensor(expected))


@pytest.mark.parametrize(("name", "kind"), EVERY)
@given(seed=SEEDS, count=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_predictions_are_those_of_the_whole_covariance(
    make_process, dense_covariance, name, kind, seed, count
):
    process = make_process(name, kind, seed)
    z, position, query = slices(seed, count)
    found = process.predict(z, position, query)
    for body in range(2):
        for d in range(3):
            everywhere = torch.cat([position[body], query[body]]).numpy()
            k = dense_covariance(process, everywhere, d)
            values = z[body, :, d].numpy()
            gain = k[count:, :count] @ np.linalg.inv(k[:count, :count])
            variance = np.diagonal(k[count:, count:] - gain @ k[:count, count:]).copy()
            if process.dof is not None:
                nu, beta = process.dof[d].item(), values @ np.linalg.inv(k[:count, :count]) @ values
                variance = variance * (nu + beta - 2) / (nu + count - 2)
            close(found.mean[body, :, d].detach(), torch.as_tensor(gain @ values))
            close(found.variance[body, :, d].detach(), torch.as_tensor(variance))


@pytest.mark.parametrize(("name", "kind"), EVERY)
@given(seed=SEEDS, count=st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_the_order_of_slices_does_not_matter(make_process, name, kind, seed, count):
    process = make_process(name, kind, seed)
    z, position, query = slices(seed, count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    close(process.log_density(z, position), process.log_density(z[:, order], position[:, order]))
    one, other = process.predict(z, position, query), process.predict(z[:, order], position[:, order], query)
    close(one.mean, other.mean)
    close(one.variance, other.variance)


@pytest.mark.parametrize(("name", "kind"), EVERY)
@given(seed=SEEDS, count=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_predictive_density_is_a_ratio_of_joint_densities(make_process, name, kind, seed, count):
    process = make_process(name, kind, seed)
    z, position, _ = slices(seed, count + 1)
    ratio = process.log_density(z, position) - process.log_density(z[:, :count], position[:, :count])
    density = process.predict(z[:, :count], position[:, :count], position[:, count:]).log_density(
        z[:, count:]
    )
    close(density.sum((1, 2)), ratio)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=SEEDS, count=COUNTS)
@settings(max_examples=20, deadline=None)
def test_a_constant_kernel_is_the_exchangeable_process(make_process, kind, seed, count):
    plain, posed = make_process("exchangeable", kind, seed), PoseProcess(3, kind).double()
    posed.load_state_dict({**posed.state_dict(), **plain.state_dict(), "raw_share": torch.full((3,), 60.0)})
    z, position, query = slices(seed, count)
    close(plain.log_density(z, position), posed.log_density(z, position))
    one, other = plain.predict(z, position, query), posed.predict(z, position, query)
    close(one.mean.expand_as(other.mean), other.mean)
    close(one.variance.expand_as(other.variance), other.variance)


def test_a_near_slice_says_more_than_a_far_one_only_if_poses_are_seen(make_process):
    z = torch.full((1, 1, 3), 2.0, dtype=torch.float64)
    at, query = torch.tensor([[0.5]]), torch.tensor([[0.51, 0.95]])
    posed = make_process("pose", "gaussian", 1).predict(z, at, query)
    assert (posed.variance[0, 0] < posed.variance[0, 1]).all() and (posed.mean[0, 0] > posed.mean[0, 1]).all()
    plain = make_process("exchangeable", "gaussian", 1).predict(z, at, query)
    assert torch.equal(plain.variance[0, 0], plain.variance[0, 1]) and torch.equal(
        plain.mean[0, 0], plain.mean[0, 1]
    )


def test_the_start_is_that_of_the_paper():
    process = ExchangeableProcess(5)
    for value, expected in ((process.variance, 1.0), (process.correlation, 0.1), (process.dof, 1000.0)):
        close(value.detach(), torch.full((5,), expected), 1e-4)


@pytest.mark.parametrize(("name", "kind"), EVERY)
@pytest.mark.parametrize("count", [0, 3])
def test_samples_have_the_moments_of_the_joint_prediction(make_process, dense_covariance, name, kind, count):
    process = make_process(name, kind, 4)
    if process.raw_dof is not None:
        process.raw_dof.data.fill_(2.0)  # dof 9.4: fourth moments exist, so that moments of samples settle
    z, position, query = slices(4, count)
    drawn = process.sample(
        z[:1], position[:1], query[:1], [torch.Generator().manual_seed(n) for n in range(6000)]
    )
    predicted = process.predict(z[:1], position[:1], query[:1])
    error = (drawn.mean(0) - predicted.mean[0]).abs() / predicted.variance[0].sqrt()
    assert error.max() < 0.06
    torch.testing.assert_close(drawn.var(0), predicted.variance[0].detach(), rtol=0.12, atol=0)
    k = dense_covariance(process, torch.cat([position[0], query[0]]).numpy(), 0)
    joint = k[count:, count:] - k[count:, :count] @ np.linalg.inv(k[:count, :count]) @ k[:count, count:]
    expected = joint / np.sqrt(np.outer(np.diag(joint), np.diag(joint)))
    np.testing.assert_allclose(np.corrcoef(drawn[:, :, 0].T.numpy()), expected, atol=0.06)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_a_sample_depends_on_its_seed_alone(make_process, name, kind):
    process = make_process(name, kind, 2)
    z, position, query = (t[:1] for t in slices(2, 4))

    def drawn(*seeds):
        return process.sample(z, position, query, [torch.Generator().manual_seed(s) for s in seeds])

    before = torch.get_rng_state()
    together = drawn(1, 2, 3)
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers change"
    close(together[1], drawn(2)[0], 1e-9)
    assert not torch.allclose(together[0], together[1])


def test_degrees_of_freedom_are_drawn_in_the_order_of_the_generator():
    """The same numbers as torch's own gamma gives for the generator: old seeds give old samples."""
    one, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    dof = torch.linspace(0.5, 60, 500)
    for _ in range(3):
        assert torch.equal(_chi_square(dof, one), 2 * torch._standard_gamma(dof / 2, generator=other))
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_gradients_are_finite_at_the_edges(make_process, name, kind):
    process = make_process(name, kind, 3).float()
    z, position, _ = (t.float() for t in slices(3, 9))
    position[:, 1] = position[:, 0]  # the same place twice
    with torch.no_grad():
        process.raw_correlation.copy_(torch.tensor([-30.0, 0.0, 30.0]))
    z.requires_grad_()
    (100 * process.log_density(50 * z, position).sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in [z, *process.parameters()])
