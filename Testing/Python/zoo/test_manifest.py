"""The embedded manifest and its schema are what the files and the code say."""

import json

import pytest

from SparseVolumeReconstructionLib.zoo.manifest import EMBEDDED, manifest_schema, read_manifest
from SparseVolumeReconstructionLib.zoo.weights import described

UPDATE = "run `python -m SparseVolumeReconstructionLib.zoo` to write it anew"


def test_schema_is_current():
    assert json.loads((EMBEDDED / "models.schema.json").read_text()) == manifest_schema(), UPDATE


@pytest.mark.parametrize("folder", [".", "readers", "synthesis"])
def test_manifest_describes_the_files_beside_it(folder):
    entries = described(EMBEDDED / folder)
    assert entries and read_manifest(EMBEDDED / folder) == entries, UPDATE


def test_cards_say_what_a_user_must_know():
    for entry in read_manifest(EMBEDDED):
        card = entry.card
        facts = (
            card.title,
            card.anatomy,
            card.modality,
            card.units,
            card.licence,
            card.data,
            card.limits,
            card.time_and_memory,
        )
        assert all(facts) and card.split and card.quality, card.id
        assert "not for diagnosis" in card.notice.lower() and "generated" in card.notice.lower()


def test_manifest_of_an_empty_folder_is_empty(tmp_path):
    assert read_manifest(tmp_path) == []
