"""./run models: what is in the store."""

from __future__ import annotations

from pathlib import Path

import click

from ..geometry import InputError
from .options import Group

EXAMPLES = "models\nmodels verify\nmodels import my-model.safetensors\nmodels remove my-model"


@click.group(cls=Group, subcommand_metavar="[ACTION]", invoke_without_command=True, examples=EXAMPLES)
@click.pass_context
def models(context: click.Context):
    """List, verify, import or remove models."""
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list", examples="models list")
def list_models():
    """All models."""
    from ..synthesis.models import synthesis_models
    from ..zoo import ModelStore

    store = ModelStore()
    networks = synthesis_models()
    for entry in [*store.entries(), *networks]:
        card = entry.card
        facts = (
            f"{card.system} {card.version}, {entry.bytes / 1e6:.1f} MB, "
            f"{'embedded' if entry in networks or store.is_embedded(card.id) else 'imported'}"
        )
        print(f"{card.id:<20} {card.title} ({card.anatomy}, {card.modality}; {facts})")


@models.command(examples="models verify")
def verify():
    """Check every weights file against its SHA-256."""
    from ..synthesis.models import synthesis_models, weights_of
    from ..zoo import ModelStore

    store = ModelStore()
    networks = synthesis_models()
    broken = []
    for entry in [*store.entries(), *networks]:
        check = weights_of if entry in networks else store.verify
        try:
            check(entry.card.id)
            print(f"{entry.card.id}: ok")
        except InputError as error:
            broken.append(str(error))
    if broken:
        raise InputError(" ".join(broken))


@models.command("import", examples="models import my-model.safetensors")
@click.argument("file", metavar="FILE", type=Path)
def import_model(file: Path):
    """Add a model: a .safetensors file with a model card, as ./run train writes it."""
    from ..zoo import ModelStore

    print(f"{ModelStore().import_file(file).card.id}: imported")


@models.command(examples="models remove my-model")
@click.argument("id", metavar="ID")
def remove(id: str):
    """Delete an imported model."""
    from ..zoo import ModelStore

    ModelStore().remove(id)
    print(f"{id}: removed")
