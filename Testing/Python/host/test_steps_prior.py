"""Step 2 of the panel, by clicks and keys: the prior and its card."""

import pytest


def choose(desk, model_id):
    """Choose a prior in the menu by its id."""
    box = desk.ui.priorBox
    desk.host.choose(
        box, next(text for text in map(box.itemText, range(box.count)) if text.endswith(f"({model_id})"))
    )


@pytest.fixture
def tiny(write_weights, tmp_path):
    """The weights file of a real, tiny model that is not part of the extension."""
    return write_weights(tmp_path / "tiny.safetensors", title="Tiny head", limits="Of no use.")


@pytest.fixture
def imported(desk, tiny):
    """The tiny model, imported by the panel and removed afterwards."""
    desk.host.files = [tiny]
    desk.host.click(desk.ui.importButton)
    yield
    if desk.parameters.prior == "tiny":
        desk.host.answers = [True]
        desk.host.click(desk.ui.removeButton)


def test_priors_are_chosen_and_their_cards_read(desk):
    assert desk.parameters.prior == "brain-t1"
    for model_id in ("fetal-t2", "brain-t1"):
        choose(desk, model_id)
        card, text = desk.panel.presenter.models.entry(model_id).card, desk.ui.cardBrowser.plainText
        assert (
            desk.parameters.prior == model_id and desk.ui.priorBox.currentText == f"{card.title} ({model_id})"
        )
        words = (
            card.data,
            card.licence,
            card.limits,
            card.time_and_memory,
            card.anatomy,
            card.modality,
            *card.quality,
        )
        assert [
            " ".join(one.split()) for one in words if " ".join(one.split()) not in " ".join(text.split())
        ] == []
        assert not desk.ui.removeButton.enabled


def test_only_the_fetal_prior_asks_for_the_age(desk):
    ui = desk.ui
    assert not ui.covariateCheckBox.isVisible() and not ui.covariateSpinBox.isVisible()
    choose(desk, "fetal-t2")
    known = desk.panel.presenter.models.entry("fetal-t2").card.covariate
    assert (
        ui.covariateCheckBox.isVisible()
        and ui.covariateCheckBox.text == "Gestational age is known"
        and not ui.covariateSpinBox.enabled
    )
    assert (ui.covariateSpinBox.minimum, ui.covariateSpinBox.maximum) == (known.low, known.high)
    assert desk.panel.presenter.covariate() is None
    assert desk.panel.presenter.inputs().draws == "donors", "templates, which are of some age"
    desk.host.click(ui.covariateCheckBox)
    desk.host.type(ui.covariateSpinBox, "27.5")
    assert (
        desk.parameters.covariateKnown
        and desk.parameters.covariate == desk.panel.presenter.covariate() == 27.5
    )
    desk.host.type(ui.covariateSpinBox, "99")
    assert known.low <= desk.parameters.covariate <= known.high
    choose(desk, "brain-t1-slice-vae")
    assert desk.panel.presenter.inputs().draws is None, "no donors, no choice what samples start from"
    choose(desk, "brain-t1")
    assert (
        not ui.covariateCheckBox.isVisible()
        and not ui.covariateSpinBox.isVisible()
        and desk.panel.presenter.covariate() is None
    )


def test_weights_are_verified(desk):
    desk.host.click(desk.ui.verifyButton)
    assert desk.ui.statusLabel.isVisible() and "is whole" in desk.ui.statusLabel.text


def test_a_model_is_imported_used_and_removed(desk, imported):
    assert (
        desk.parameters.prior == "tiny"
        and desk.ui.priorBox.currentText == "Tiny head (tiny)"
        and "imported" in desk.status.step
    )
    assert "Of no use." in desk.ui.cardBrowser.plainText and desk.ui.removeButton.enabled
    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    desk.host.click(desk.ui.templateCheckBox)
    desk.quick()
    desk.apply()
    assert desk.result.provenance["prior"]["id"] == "tiny"
    desk.host.answers = [False]
    desk.host.click(desk.ui.removeButton)
    assert "Tiny head" in desk.host.questions[-1] and "MB" in desk.host.questions[-1]
    assert desk.parameters.prior == "tiny" and desk.panel.presenter.models.path("tiny").exists()
    desk.host.answers = [True]
    desk.host.click(desk.ui.removeButton)
    assert "was removed" in desk.ui.priorNote.text and desk.ui.priorNote.isVisible()
    assert desk.parameters.prior == "brain-t1" and all(
        "tiny" not in desk.ui.priorBox.itemText(i) for i in range(desk.ui.priorBox.count)
    )
    assert not list(desk.panel.presenter.models.user_dir.glob("*.safetensors"))


def test_damage_is_found(desk, imported):
    path = desk.panel.presenter.models.path("tiny")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    desk.host.click(desk.ui.verifyButton)
    assert desk.ui.errorLabel.isVisible() and "is damaged" in desk.ui.errorLabel.text


def test_files_that_are_no_models_are_refused(desk, tiny, write_weights, tmp_path):
    text = tmp_path / "letter.safetensors"
    text.write_text("Dear reader, these are no weights.")
    same = write_weights(tmp_path / "same.safetensors", id="brain-t1")
    embedded = desk.ui.priorBox.count
    for path, words in (
        (text, "letter.safetensors"),
        (tmp_path / "gone.safetensors", "gone.safetensors"),
        (same, "another id"),
    ):
        desk.host.files = [path]
        desk.host.click(desk.ui.importButton)
        assert (
            desk.ui.errorLabel.isVisible()
            and words in desk.ui.errorLabel.text
            and "\n" not in desk.ui.errorLabel.text
        )
        assert desk.parameters.prior == "brain-t1" and desk.ui.priorBox.count == embedded


def test_importing_is_cancelled(desk):
    desk.host.files = [""]
    desk.host.click(desk.ui.importButton)
    assert not desk.ui.errorLabel.isVisible() and desk.parameters.prior == "brain-t1"
