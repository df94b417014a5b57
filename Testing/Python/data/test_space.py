"""The reference that a cohort is registered to."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.data.cohort import list_cohort
from SparseVolumeReconstructionLib.data.space import canonical_space
from SparseVolumeReconstructionLib.geometry.io import write_volume

from .test_likeness import moved
from .test_registration import body


@pytest.mark.parametrize(("factor", "says"), [(1.0, ""), (0.1, "is the unit cm")])
@pytest.mark.parametrize("reference", [None, "b"])
def test_a_cohort_that_is_in_another_unit_as_a_whole_is_told(tmp_path, factor, says, reference):
    for name in "abc":
        write_volume(moved(body(), factor * np.eye(3)), tmp_path / f"{name}.nrrd")
    told = []
    canonical_space(reference, list_cohort(tmp_path), 3.0 * factor, warn=told.append)
    assert (len(told) == 1 and says in told[0]) if says else told == []
