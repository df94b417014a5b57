"""The store of models: what is whole is found and loaded, what is not is refused in one clear line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.card import MeanTempering, MeanWarping
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian
from SparseVolumeReconstructionLib.zoo import ModelStore, weights
from SparseVolumeReconstructionLib.zoo.manifest import EMBEDDED, write_manifest


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def tiny(tmp_path, write_weights, store):
    """The id of an imported model."""
    return store.import_file(write_weights(tmp_path / "tiny.safetensors")).card.id


@pytest.fixture
def embedded():
    """The ids of the embedded models."""
    ids = [entry.card.id for entry in ModelStore().entries() if ModelStore().is_embedded(entry.card.id)]
    if not ids:
        pytest.skip("no model is embedded")
    return ids


def refuses(call, *words):
    """The call raises InputError with one line that holds the words."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    assert all(word in message for word in words), message


def contents(folder):
    """{name: bytes} of a folder."""
    return {path.name: path.read_bytes() for path in folder.rglob("*")} if folder.exists() else {}


def test_imported_model_is_listed_verified_loaded_and_removed(store, tiny):
    assert tiny in [entry.card.id for entry in store.entries()]
    of = {kind: {entry.card.id for entry in store.entries_for(kind)} for kind in ("slice", "radiograph")}
    assert {tiny, "mouse-xray"} <= of["slice"] & of["radiograph"]
    assert "mouse-xray-cnn" in of["radiograph"] - of["slice"] and "brain-t1-slice-vae" not in of["radiograph"]
    store.verify(tiny)
    prior = store.load(tiny, "cpu")
    mean = prior.condition([]).mean()
    assert mean.shape == (12, 14, 13) and mean.max() > 0.5
    store.remove(tiny)
    assert tiny not in [entry.card.id for entry in store.entries()]
    assert sorted(contents(store.user_dir)) == ["models.json"]
    refuses(lambda: store.load(tiny), "tiny", "known:")


def test_loading_reads_each_manifest_once_and_hashes_the_weights_once(store, tiny, monkeypatch):
    opened = []

    def spy(path, mode="r", **options):
        opened.append(Path(path))
        return open(path, mode, **options)

    monkeypatch.setattr(weights, "open", spy, raising=False)
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path) or read_bytes(path))
    store.load(store.find(tiny), "cpu")
    manifests = [path.parent for path in opened if path.name == "models.json"]
    assert sorted(manifests) == sorted({EMBEDDED, store.user_dir})
    assert [path.name for path in opened if path.suffix == ".safetensors"] == [store.entry(tiny).file]


def test_loaded_prior_stays_in_memory(store, tiny):
    assert store.load(tiny, "cpu") is store.load(tiny, "cpu")


def test_another_store_on_the_folder_sees_the_import(store, tiny):
    assert ModelStore(store.user_dir).entry(tiny) == store.entry(tiny)


def test_importing_the_same_id_again_replaces_it(store, tiny, tmp_path, write_weights):
    before = store.load(tiny, "cpu")
    store.import_file(write_weights(tmp_path / "newer.safetensors", version="2"))
    assert [entry.card.version for entry in store.entries() if entry.card.id == tiny] == ["2"]
    assert store.load(tiny, "cpu") is not before and store.load(tiny, "cpu").card.version == "2"
    assert len(list(store.user_dir.glob("*.safetensors"))) == 1


def test_unknown_id_lists_the_known_ones(store, tiny):
    refuses(lambda: store.load("nobody"), '"nobody"', "known:", tiny)
    refuses(lambda: store.verify("../../etc/passwd"), "known:")


def test_missing_weights_file(store, tiny):
    store.path(tiny).unlink()
    refuses(lambda: store.load(tiny), tiny, "missing")
    refuses(lambda: store.verify(tiny), tiny, "missing")


@pytest.mark.parametrize("position", [10, -1])
def test_one_changed_byte_is_found_before_the_file_is_read(store, tiny, position):
    data = bytearray(store.path(tiny).read_bytes())
    data[position] ^= 1
    store.path(tiny).write_bytes(data)
    refuses(lambda: store.load(tiny), tiny, "SHA-256")


def test_truncated_file(store, tiny):
    store.path(tiny).write_bytes(store.path(tiny).read_bytes()[:100])
    refuses(lambda: store.load(tiny), tiny, "SHA-256")


def test_foreign_files_are_not_imported(store, tmp_path, write_weights):
    foreign = tmp_path / "foreign.safetensors"
    tensors = {"weight": torch.zeros(3)}
    card = json.loads(write_card(tmp_path, write_weights))

    def refused(*words):
        refuses(lambda: store.import_file(foreign), "foreign.safetensors", *words)

    foreign.write_bytes(b"\x80\x04not safetensors at all")
    refused("not a .safetensors file")
    foreign.write_bytes(b"")
    refused("not a .safetensors file")
    save_file(tensors, foreign)
    refused("without a model card")
    save_file(tensors, foreign, metadata={"card": "{"})
    refused("card is not valid")
    save_file(tensors, foreign, metadata={"card": json.dumps({**card, "id": "../up"})})
    refused("card is not valid", "id")
    save_file(tensors, foreign, metadata={"card": json.dumps({**card, "system": "oracle"})})
    refused("oracle", "structured-gaussian")
    save_file(tensors, foreign, metadata={"card": json.dumps(card)})
    refuses(lambda: store.import_file(foreign), "its tensors are not those of")
    refuses(lambda: store.import_file(tmp_path / "none.safetensors"), "no such")
    refuses(lambda: store.import_file(tmp_path), "no such")
    assert contents(store.user_dir) == {}


def write_card(folder, write_weights) -> str:
    """The card of the tiny model as JSON."""
    from safetensors import safe_open

    with safe_open(write_weights(folder / "whole.safetensors"), framework="np") as file:
        return file.metadata()["card"]


def test_failed_import_leaves_the_old_model(store, tiny, tmp_path, write_weights):
    before = contents(store.user_dir)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign, metadata={"card": write_card(tmp_path, write_weights)})
    refuses(lambda: store.import_file(foreign), "its tensors are not those of")
    assert contents(store.user_dir) == before


def test_embedded_models_are_whole(embedded):
    store = ModelStore()
    for model_id in embedded:
        store.verify(model_id)
        assert store.load(model_id, "cpu").card == store.entry(model_id).card


def test_embedded_models_cannot_be_replaced_or_removed(embedded, store, tmp_path, write_weights):
    file = write_weights(tmp_path / "mine.safetensors", id=embedded[0])
    refuses(lambda: store.import_file(file), embedded[0], "part of the extension")
    refuses(lambda: store.remove(embedded[0]), embedded[0], "part of the extension")
    store.verify(embedded[0])


def test_unwritable_folder(tmp_path, write_weights):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    file = write_weights(tmp_path / "tiny.safetensors")
    refuses(lambda: ModelStore(blocked / "models").import_file(file), "could not be imported")


@pytest.mark.parametrize("text", ["{", "{}", '[{"file": "x.safetensors"}]'])
def test_damaged_manifest(store, tiny, text):
    (store.user_dir / "models.json").write_text(text)
    refuses(store.entries, "models.json", "not a list of models")


def test_manifest_cannot_name_files_elsewhere(store, tiny):
    manifest = store.user_dir / "models.json"
    entries = json.loads(manifest.read_text())
    entries[0]["file"] = "../" + entries[0]["file"]
    manifest.write_text(json.dumps(entries))
    refuses(lambda: store.load(tiny), "is not the name of a file beside it")


def test_a_manifest_may_say_how_the_mean_of_an_unchanged_file_is_tempered_and_warped(store, tiny):
    """With the quality that this gives; of another file it says nothing."""
    entry = store.entry(tiny)
    warping = MeanWarping(nodes_mm=20, neighbours_mm=30, gain=1, reach_mm=20)
    tempering = MeanTempering(shared=0.5, power=2)
    found_out = {"tempering": tempering, "warping": warping, "quality": {"SSIM": 0.9}}
    known = entry.model_copy(update={"card": entry.card.model_copy(update=found_out)})
    write_manifest(store.user_dir, [known])
    assert ModelStore(store.user_dir).load(tiny, "cpu").card == known.card
    assert store.load_file(store.path(tiny), "cpu")[1].card == known.card
    assert weights.described(store.user_dir) == [known]
    write_manifest(store.user_dir, [known.model_copy(update={"sha256": "0" * 64})])
    assert store.load_file(store.path(tiny), "cpu")[1].card == entry.card
    assert weights.described(store.user_dir) == [entry]


def test_user_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path))
    assert ModelStore().user_dir == tmp_path
    monkeypatch.delenv("SVR_MODELS_DIR")
    assert ModelStore().user_dir.parts[-2:] == ("SparseVolumeReconstruction", "models")


def test_a_model_built_on_another_is_given_it(store, tmp_path, write_weights, tiny, monkeypatch):
    """By id and SHA-256; without it, or with another version of it, nothing is imported or loaded."""
    whole, given = StructuredGaussian.from_weights, []

    def from_weights(tensors, card, device, base=None):
        given.append(base)
        return whole(tensors, card, device, base)

    monkeypatch.setattr(StructuredGaussian, "from_weights", from_weights)

    def built_on(model_id, sha256):
        path = tmp_path / f"on-{model_id}.safetensors"
        return write_weights(path, id="refined", base={"id": model_id, "sha256": sha256})

    missing, other = built_on("nothing", "0" * 64), built_on(tiny, "0" * 64)
    refuses(lambda: store.import_file(missing), "refined", "nothing", "import that first")
    refuses(lambda: store.import_file(other), "refined", "another version", "000000000000")
    assert [entry.card.id for entry in store.entries()].count("refined") == 0 and given == []
    store.import_file(built_on(tiny, store.entry(tiny).sha256))
    store.load("refined", "cpu")
    assert given[-1] is store.load(tiny, "cpu")
    entry, _ = store.load_file(built_on(tiny, store.entry(tiny).sha256), "cpu")
    assert entry == store.entry("refined").model_copy(update={"file": f"on-{tiny}.safetensors"})
    assert given[-1] is store.load(tiny, "cpu")
    write_manifest(store.user_dir, [store.entry("refined")])
    refuses(lambda: ModelStore(store.user_dir).load("refined", "cpu"), "tiny", "import that first")


def test_what_others_are_built_on_is_neither_removed_nor_replaced(store, tmp_path, write_weights, tiny):
    sha256 = store.entry(tiny).sha256
    for name in ("refined", "other"):
        path = write_weights(tmp_path / f"{name}.safetensors", id=name, base={"id": tiny, "sha256": sha256})
        store.import_file(path)
    before = contents(store.user_dir)
    newer = write_weights(tmp_path / "newer.safetensors", version="2")
    refuses(lambda: store.remove(tiny), "cannot be removed", "refined, other would not work")
    refuses(lambda: store.import_file(newer), "cannot be replaced", "refined, other would not work")
    assert contents(store.user_dir) == before
    store.import_file(write_weights(tmp_path / "same.safetensors"))
    store.remove("refined")
    refuses(lambda: store.remove(tiny), ": other would not work")
    store.remove("other")
    store.remove(tiny)
    assert sorted(contents(store.user_dir)) == ["models.json"]
