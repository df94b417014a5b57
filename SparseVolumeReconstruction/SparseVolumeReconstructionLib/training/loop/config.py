"""What a training run is made of, read from a YAML file.

A key that is not known is refused with the nearest one that is.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import yaml
from pydantic import BaseModel, Field, ValidationError

from ...data.config import AugmentationConfig, Count, DataConfig, Section
from ...geometry import InputError, file_errors, first_problem
from ..presets import merged, shipped_presets

Model = TypeVar("Model", bound=BaseModel)


class TrainConfig(Section):
    """One run. The learning rate at a step is learning_rate * decay ** step.

    betas: of Adam. batch: volumes per step and process. ema: decay of the averaged weights that are validated
    and exported. precision: of the arithmetic. patience: validations without a better score before the run
    stops. clip: largest norm of the gradient. model: what the system itself needs, see its task. validation:
    share of the fitted subjects kept for validation.
    """

    system: str
    seed: int = 0
    steps: Count
    batch: Count
    learning_rate: float = Field(1e-3, gt=0)
    decay: float = Field(1.0, gt=0, le=1)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Literal["32", "bf16-mixed"] = "32"
    validate_every: Count = 500
    checkpoint_every: Count = 500
    patience: Count = 20
    clip: float = Field(10.0, gt=0)
    validation: float = Field(0.1, gt=0, lt=1)
    augmentation: AugmentationConfig = AugmentationConfig()
    data: DataConfig = DataConfig()
    model: dict[str, Any] = Field({})


def read_config(name: str | Path) -> TrainConfig:
    """The configuration in a YAML file, or the shipped one of that name. Raises InputError.

    A file may begin with `preset: NAME` and say only what it changes of that shipped one.
    """
    if not Path(name).exists():
        return validated(TrainConfig, _preset(str(name)), str(name))
    try:
        with file_errors(f"{name}: cannot be read"):
            content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: not YAML ({str(error).splitlines()[0]}).") from error
    if not isinstance(content, dict):
        raise InputError(f'{name}: expected keys and values, e.g. "system: slice-vae".')
    base = _preset(content.pop("preset")) if "preset" in content else {}
    return validated(TrainConfig, merged(base, content), str(name))


def _preset(name: str) -> dict[str, Any]:
    shipped = shipped_presets()
    if name not in shipped:
        raise InputError(f"{name}: no such file, nor one of the shipped configurations {', '.join(shipped)}.")
    return shipped[name]


def validated(model: type[Model], content: dict[str, Any], where: str) -> Model:
    """`content` as a `model`.

    Args:
        where: where the content comes from, for the message.

    Raises:
        InputError: names the first wrong key or value, and the nearest valid key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            valid = _keys_beside(model, first["loc"])
            near = difflib.get_close_matches(str(first["loc"][-1]), valid, 1, 0.0)
            raise InputError(
                f'{where}: unknown key "{name}"; did you mean "{near[0]}"? Known: {", ".join(valid)}.'
            ) from error
        raise InputError(f"{where}: {first_problem(error)}.") from error


def _keys_beside(model: type[BaseModel], place: tuple) -> list[str]:
    """Valid keys where `place` (a path of keys) ends."""
    for part in place[:-1]:
        model = cast(type[BaseModel], model.model_fields[part].annotation)
    return sorted(model.model_fields)


def digest(config: TrainConfig) -> str:
    """SHA-256 of all that a configuration says, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(config.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """What differs between two configurations, as "key: old -> new".

    Args:
        old, new: sections may be nested; a key that is not there counts as None.
        prefix: comes before every key.

    Returns:
        One line for each key, sorted, those of sections as "section.key".
    """
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} -> {b}")
    return found
