"""Models are found where they should be, else trained, else left out by name."""

import shutil

import pytest

from SparseVolumeReconstructionLib.experiments.models import POPULATIONS, LeftOut
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian
from SparseVolumeReconstructionLib.training.loop.config import digest, read_config
from SparseVolumeReconstructionLib.zoo import ModelStore
from SparseVolumeReconstructionLib.zoo.weights import sha256


def test_what_was_trained_is_known_of_each_model(trained):
    table = trained.provenance()
    gaussian, vae = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert gaussian["model"] == "structured-gaussian" and gaussian["file"] == "brain-t1.safetensors"
    assert (
        vae["config"] == "slice-vae-64-tiny"
        and vae["config sha256"] == digest(read_config("slice-vae-64-tiny"))[:12]
    )
    path = trained.folder / "slice-vae-64-tiny" / vae["file"]
    assert vae["sha256"] == sha256(path)[:12] and "CPU" in vae["device"] and vae["date"].startswith("20")
    assert 0 < vae["minutes"] < 60 and vae["million parameters"] > 0.01
    network = trained.get("slice-vae").network
    assert (
        vae["million parameters"] == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6)
        and vae["minutes"] >= 0
    )


def test_what_is_there_is_not_trained_again(trained, make_models, tmp_path):
    again = make_models(trained.folder, may_train=False)
    assert again.get("slice-vae").card == trained.get("slice-vae").card
    shutil.copy(
        trained.folder / "slice-vae-64-tiny" / "brain-t1-slice-vae.safetensors",
        tmp_path / "fetal-t2-slice-vae.safetensors",
    )
    fetal = make_models(tmp_path, "fetal-t2", may_train=False)
    assert fetal.get("slice-vae") is fetal.get("slice-vae") and list(fetal.used) == ["slice-vae"]


def test_a_model_that_is_not_there_is_left_out_and_named(make_models, tmp_path):
    models = make_models(tmp_path, may_train=False)
    assert models.several(["slice-vae"]) == {} and "brain-t1-slice-vae" in models.left_out["slice-vae"]
    assert models.provenance().rows[0][1].startswith("left out: there is no model brain-t1-slice-vae")
    with pytest.raises(LeftOut, match="no configuration magic-64-tiny is shipped"):
        make_models(tmp_path).get("magic")
    with pytest.raises(LeftOut, match="brain-t1-slice-vae-128"):
        models.get("slice-vae", 128)


def test_installed_models_are_used_but_for_trials(make_models, tmp_path):
    prior = make_models(tmp_path, scale="cpu", may_train=False).get("structured-gaussian")
    assert prior.card.id == "brain-t1" and prior.card.canonical_space == "MNI152 (affine)"
    with pytest.raises(LeftOut):
        make_models(tmp_path, may_train=False).get("structured-gaussian")


def test_a_model_is_given_the_one_it_is_built_on(make_models, tmp_path, write_weights, monkeypatch):
    """The base comes from the store, by its id and SHA-256."""
    store, given = ModelStore(tmp_path / "store"), []
    base = store.import_file(write_weights(tmp_path / "base.safetensors", id="base"))
    reference = {"id": "base", "sha256": base.sha256}
    write_weights(tmp_path / "brain-t1-refined.safetensors", id="brain-t1-refined", base=reference)
    whole = StructuredGaussian.from_weights

    def from_weights(tensors, card, device, base=None):
        given.append(base)
        return whole(tensors, card, device, base)

    monkeypatch.setattr(StructuredGaussian, "from_weights", from_weights)
    models = make_models(tmp_path, store=store, may_train=False)
    assert models.get("refined").card.base.id == "base"
    assert given[-1] is store.load("base", "cpu") and list(models.used) == ["refined"]


def test_a_damaged_model_is_refused_not_left_out(make_models, tmp_path):
    (tmp_path / "brain-t1-slice-vae.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="not a .safetensors file"):
        make_models(tmp_path).several(["slice-vae"])


@pytest.mark.parametrize("population", ["brain-t1", "fetal-t2"])
@pytest.mark.parametrize("scale", ["cpu", "gpu"])
def test_every_population_has_its_split_and_configurations(population, scale):
    assert all(each.split.is_file() for each in POPULATIONS.values())
    for key in ("slice-vae", "bruno", "bruno-pose", *(("gqn", "cvae") if population == "fetal-t2" else ())):
        config = read_config(f"{key}-{POPULATIONS[population].kind}64-{scale}")
        assert config.data.slices == {"brain-t1": 120, "fetal-t2": 80}[population]
