"""Views of radiographs by evidence, on the embedded model of heads whose sides mirror each other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.alignment.radiographs import USUAL, _of_two_sides, place
from SparseVolumeReconstructionLib.alignment.view_search import mirrored
from SparseVolumeReconstructionLib.geometry import InputError, Volume
from SparseVolumeReconstructionLib.observation.rays import radiograph_of, unplaced
from SparseVolumeReconstructionLib.observation.views import VIEWS, middle_of, view_axes
from SparseVolumeReconstructionLib.zoo import ModelStore

HAND = [((x, 0, 0), (1.3 * x, 0, long), 9) for x, long in ((-30, 75), (-10, 90), (10, 85), (30, 65))] + [
    ((-25, 0, -40), (25, 0, -40), 25),
    ((-25, 0, -10), (25, 0, -10), 22),
    ((40, 0, -40), (80, 0, 10), 10),
    ((0, 0, -60), (0, 0, -125), 25),
]  # RAS mm: ends and radius of fingers, palm, thumb and wrist


@pytest.fixture(scope="module")
def prior():
    """Of heads of mice."""
    return ModelStore().load("mouse-xray", "cpu")


@pytest.fixture(scope="module")
def head(prior):
    """A head (K, J, I) that is not the mean."""
    return prior.condition([]).sample([4])[0].clamp(min=0).numpy()


def found(prior, head, view, direction):
    """Where a picture from a direction was placed."""
    seen = radiograph_of(Volume(head, prior.grid), np.array(direction), 64)
    return place(unplaced(seen, view), prior.alignment_model(), np.eye(4), lambda: None)


def degrees(at, direction) -> float:
    """Between the rays of a placed radiograph and a direction."""
    cosine = at.radiograph.plane.normal @ np.array(direction) / np.linalg.norm(direction)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


@pytest.mark.parametrize("view", VIEWS)
def test_a_named_view_is_nearly_there_and_never_its_opposite(prior, head, view):
    """From behind, the mirrored head looks the same as the head does from the front."""
    at = found(prior, head, view, VIEWS[view])
    assert degrees(at, VIEWS[view]) < 4  # steps that do not end left it half a step beside
    assert at.mirrored is None or abs(at.mirrored) < 1


def test_an_unknown_view_is_found_up_to_the_mirrored_side_and_that_is_told(prior, head):
    direction = (-0.6, 0.5, -0.9)
    at = found(prior, head, "unknown", direction)
    assert degrees(at, direction) < 10  # from in front or above, as is usual
    assert abs(at.mirrored) < 1 and at.provenance()["mirrored_nats"] == pytest.approx(at.mirrored, abs=0.01)
    assert at.margin > 0


def test_a_human_head_is_placed_and_a_hand_is_refused():
    """Rods of soft tissue with bone in them, as long and as thick as those of a hand, are half explained."""
    prior = ModelStore().load("head-xray", "cpu")
    head = prior.condition([]).sample([4])[0].clamp(min=0).numpy()
    assert degrees(found(prior, head, "side", VIEWS["side"]), VIEWS["side"]) < 10
    points = prior.grid.points_ras() - middle_of(prior.grid)
    hand = np.zeros(len(points), np.float32)
    for grey, share in ((0.45, 1.0), (1.0, 0.5)):
        for start, end, radius in HAND:
            along = np.subtract(end, start)
            part = np.clip((points - start) @ along / (along @ along), 0, 1)
            hand[np.linalg.norm(points - start - part[:, None] * along, axis=1) < share * radius] = grey
    with pytest.raises(InputError, match="explains"):
        found(prior, hand.reshape(prior.grid.shape_kji), "front", VIEWS["front"])


@pytest.mark.parametrize("nats", [0.0, 10.0])
def test_the_evidence_chooses_the_side_where_it_tells_and_what_is_usual_where_not(nats):
    """Whichever of the two sides was found first; nats: by which the unusual one is better."""
    usual = torch.as_tensor(view_axes((-0.6, 0.5, -0.9)).T, dtype=torch.float32)
    other = mirrored(usual)
    fine = SimpleNamespace(evidence=lambda turn, shift: nats if turn[1, 2] < 0 else 0.0)
    for first in (usual, other):
        chosen, _, ahead = _of_two_sides(first, torch.zeros(3), fine, USUAL)
        assert torch.equal(chosen, other if nats else usual) and ahead == nats
