"""What a request says of its observations."""

import pytest
from pydantic import ValidationError

from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest


def request(**context) -> ReconstructionRequest:
    context = {"path": "/scan.nrrd", **context}
    return ReconstructionRequest.model_validate({"prior": "p", "output": "/out", "contexts": [context]})


def test_a_request_without_kinds_is_one_of_slices_and_other_kinds_are_refused():
    old = request()
    assert old.contexts[0].kind == Slice.kind
    assert ReconstructionRequest.model_validate_json(old.model_dump_json()) == old == request(kind="slice")
    with pytest.raises(ValidationError, match=r'contexts\.0\n.*kind "hologram" is not known'):
        request(kind="hologram")
    with pytest.raises(ValidationError, match=r"contexts\.0\.thickness_mm"):
        request(thickness_mm=-1)
