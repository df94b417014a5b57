"""Weights files: one .safetensors whose metadata holds the model card as JSON under the key "card"."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from ..geometry import InputError, file_errors, first_problem
from ..geometry.io import write_atomically
from ..priors.card import ModelCard, ModelEntry
from ..priors.systems import prior_systems, system_class
from .manifest import read_manifest

if TYPE_CHECKING:
    import torch

    from ..priors.base import Prior


def describe(path: Path, card: ModelCard | None = None) -> ModelEntry:
    """The manifest entry of a weights file: its name, SHA-256, size in bytes, and card.

    Args:
        path: the weights file.
        card: the one in it; that of a prior, read by `read_card`, if None.
    """
    card = card or read_card(path)
    return ModelEntry(file=path.name, sha256=sha256(path), bytes=path.stat().st_size, card=card)


def described(folder: Path) -> list[ModelEntry]:
    """The entries of all weights files in a folder, by name.

    What the manifest there says beyond an unchanged file, see `amended`, stays.

    Args:
        folder: of models.
    """
    known = {entry.sha256: entry.card for entry in read_manifest(folder)}
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stem)
    entries = [describe(path, stored_card(path)) for path in files]
    return [e.model_copy(update={"card": amended(e.card, known.get(e.sha256, e.card))}) for e in entries]


def amended(card: ModelCard, known: ModelCard) -> ModelCard:
    """The card of a weights file with what was found out since about its use, and the quality of that.

    Args:
        card: in the file.
        known: in the manifest, of the same file; says how the mean is tempered or warped, or no more than
            the file.
    """
    found_out = {"tempering": known.tempering, "warping": known.warping}
    if not any(found_out.values()):
        return card
    return card.model_copy(update={**found_out, "quality": known.quality})


def read_card(path: Path) -> ModelCard:
    """The card in a weights file; its tensors are not read.

    Raises:
        InputError: where the file is missing, is no safetensors file, or has no card of a known system.
    """
    card = stored_card(path)
    if card.system not in prior_systems():
        raise InputError(
            f'{path}: made for the system "{card.system}", which is not in this version; known: '
            f"{', '.join(prior_systems())}."
        )
    return card


def stored_card(path: Path) -> ModelCard:
    """The card in a weights file of any system, a network that is no prior included.

    Raises:
        InputError: where the file is missing, is no safetensors file, or has no valid card.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such weights file.")
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get("card")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a .safetensors file, or damaged ({_first_line(error)}).") from error
    if text is None:
        raise InputError(
            f'{path}: a .safetensors file without a model card (metadata "card"); it is not a model of this '
            "project."
        )
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        why = first_problem(error, "JSON")
        raise InputError(f"{path}: its model card is not valid ({why}).") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 lowercase hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_weights(tensors: dict[str, torch.Tensor], card: ModelCard, path: Path) -> None:
    """Write tensors (units as the system stores them) and their card as a weights file, atomically.

    Args:
        tensors: by the names that the system reads, on any device; they are compressed without loss.
        path: of the .safetensors file.

    Raises:
        InputError: it cannot be written.
    """
    from safetensors.torch import save_file

    from .compression import compress

    kept = compress(tensors)
    with file_errors(f"{path}: could not be written"):
        write_atomically(path, lambda temporary: save_file(kept, temporary, {"card": card.model_dump_json()}))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file, in the units that `save_weights` was given.

    Raises SafetensorError, OSError or ValueError.
    """
    from safetensors.torch import load_file

    from .compression import expand

    return expand(load_file(path))


@contextmanager
def opened_network(path: Path, system: str) -> Iterator[tuple[ModelCard, dict[str, torch.Tensor]]]:
    """The card of a network that is no prior and its tensors, in the units that `save_weights` was given.

    The block makes the network of them.

    Args:
        path: the weights file.
        system: of the card, and what `./run train` calls it.

    Raises:
        InputError: for any other file, and where the block fails on what is in it.
    """
    try:
        with safe_open(path, "pt") as file:
            card = ModelCard.model_validate_json((file.metadata() or {})["card"])
        if card.system != system:
            raise ValueError(card.system)
        yield card, read_tensors(path)
    except (SafetensorError, OSError, LookupError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path}: no {system} network of this program, or damaged; ./run train {system} makes one."
        ) from error


def load_prior(path: Path, card: ModelCard, device: torch.device, base: Prior | None = None) -> Prior:
    """The prior whose tensors lie in a file. Nothing from the file is executed.

    Args:
        path: the weights file.
        card: its card.
        device: where to compute.
        base: the loaded model that `card.base` names.

    Raises:
        InputError: where the tensors are not those of the card's system; torch.OutOfMemoryError passes
            through.
    """
    import torch

    system = system_class(card.system)
    try:
        return system.from_weights(read_tensors(path), card, device, base)
    except torch.OutOfMemoryError:
        raise
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(
            f'{path}: its tensors are not those of a "{card.system}" model ({_first_line(error)}).'
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
