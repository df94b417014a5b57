"""What every system promises: Prior and Posterior declare it, and hold what all of them share."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib import priors
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.observation import Observation, Slice, projection
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.axial import AxialPrior
from SparseVolumeReconstructionLib.priors.base import Posterior, Prior, seeded_generator
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.intervals import IntervalScale
from SparseVolumeReconstructionLib.priors.systems import prior_systems

GRID = Grid.centred((4, 5, 6), 2.0)
WORDS = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")


class Noise(Posterior):
    """White noise around one half."""

    grid, intervals = GRID, IntervalScale()

    def mean(self):
        return torch.full(GRID.shape_kji, 0.5)

    def std(self):
        return torch.full(GRID.shape_kji, 0.1)

    def _sample(self, seeds):
        return torch.stack([torch.randn(GRID.shape_kji, generator=seeded_generator(seed)) for seed in seeds])

    def log_evidence(self):
        return 0.0


class NoisePrior(Prior):
    """Knows nothing of what was seen."""

    def _condition(self, given):
        return Noise()


class Radiograph(Observation):
    """A kind that no prior knows."""

    kind, name, source, noise = "radiograph", "chest", "file", 0.0
    values = property(lambda self: np.zeros(3, np.float32))

    def operator(self, grid, **options): ...

    def transformed(self, matrix): ...

    def with_intensity(self, intensity): ...

    def observed_voxels(self, grid): ...

    def provenance(self): ...


@pytest.fixture
def prior() -> Prior:
    card = ModelCard(id="noise", system="noise", **dict.fromkeys(WORDS, "test"))
    return NoisePrior(
        card,
        GRID,
        anatomy_mask=torch.ones(GRID.shape_kji, dtype=torch.bool),
        reference=Volume(np.zeros(GRID.shape_kji, np.float32), GRID),
        intervals=IntervalScale(),
    )


def test_every_system_is_a_prior_and_no_posterior_has_an_interval_or_seeds_of_its_own():
    for found in pkgutil.walk_packages(priors.__path__, f"{priors.__name__}."):
        if not found.name.endswith(".training"):
            importlib.import_module(found.name)
    for system in prior_systems().values():
        known = system.prior_class()
        assert issubclass(known, Prior), system.id
        kinds = {kind.kind for kind in (Slice, projection.Radiograph) if issubclass(kind, known.observes)}
        assert kinds == set(system.observes), system.id
    of_the_library = [kind for kind in descendants(Posterior) if kind.__module__.startswith(priors.__name__)]
    assert len(of_the_library) >= 6
    for kind in of_the_library:
        assert not {"interval", "sample"} & set(vars(kind)), kind


def descendants(kind: type) -> list[type]:
    return [found for child in kind.__subclasses__() for found in (child, *descendants(child))]


def test_an_incomplete_system_is_no_prior():
    incomplete = type("Incomplete", (Prior,), {})
    with pytest.raises(TypeError, match="abstract"):
        incomplete(None, GRID, anatomy_mask=None, reference=None, intervals=None)


def test_what_the_base_class_gives(prior):
    posterior = prior.condition([slice_of(Volume(np.random.default_rng(0).random((4, 5, 6)), GRID), 2)])
    low, high = posterior.interval(0.9)
    np.testing.assert_allclose(high - low, 2 * 1.6449 * 0.1, atol=1e-4)
    both = posterior.sample([3, 8])
    assert both.shape == (2, *GRID.shape_kji) and torch.equal(posterior.sample([8])[0], both[1])
    assert posterior.sample([]).shape == (0, *GRID.shape_kji)
    assert prior.evaluation_grid is GRID and prior.device == torch.device("cpu")
    with pytest.raises(InputError, match="noise cannot find where slices lie; give the frame"):
        prior.alignment_model()
    with pytest.raises(NotImplementedError, match="not stored"):
        NoisePrior.from_weights({}, prior.card, prior.device)


def test_a_kind_that_the_prior_does_not_know_is_refused(prior):
    with pytest.raises(InputError, match="chest: noise cannot be .* a radiograph; expected: slice"):
        prior.condition([Radiograph()])


def test_a_network_of_other_stacks_than_the_grids_is_refused(make_ball_space, prior):
    """Every system of axial slices takes its network by `settled`."""

    class Stack(AxialPrior):
        def infer(self, index, pixels, check, fast=False): ...

    stack, network = Stack(make_ball_space(9, 16), prior.card), torch.nn.Linear(1, 1)
    assert stack.settled(network, 9, 16) is network and not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    for wrong in ((8, 16), (9, 15)):
        with pytest.raises(ValueError, match=r"a network of .* on a grid of \(9, 16, 16\)"):
            stack.settled(network, *wrong)
    of_tasks = [system.prior_class() for system in prior_systems().values() if system.task]
    of_networks = [kind for kind in of_tasks if issubclass(kind, AxialPrior)]
    assert len(of_networks) >= 4
    for kind in of_networks:
        assert "self.settled(" in inspect.getsource(kind), kind
