"""Judgements by logistic regression; their numbers lie beside the weights of the network that reads heads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..zoo.manifest import EMBEDDED

FILE = "judgements.json"


@dataclass(frozen=True, eq=False)
class Judge:
    """A logistic judge of what measures say.

    kinds: what is told apart, K of them. measures: by what, M names. weights: (K, M). offsets: (K,).
    """

    kinds: list[str]
    measures: list[str]
    weights: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, name: str) -> Judge:
        """The judge that the extension brings under that name."""
        return _judges()[name]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, as the file holds it."""
        return {
            "kinds": self.kinds,
            "measures": self.measures,
            "weights": self.weights.round(4).tolist(),
            "offsets": self.offsets.round(4).tolist(),
        }

    def probabilities(self, measures: dict[str, float]) -> dict[str, float]:
        """The probability of each kind; a measure that is not known counts as 0."""
        logits = self.offsets + self.weights @ [measures.get(name, 0.0) for name in self.measures]
        odds = np.exp(logits - logits.max())
        return dict(zip(self.kinds, (odds / odds.sum()).tolist(), strict=True))


@lru_cache(maxsize=1)
def _judges() -> dict[str, Judge]:
    stored = json.loads((EMBEDDED / "readers" / FILE).read_text())
    return {
        name: Judge(one["kinds"], one["measures"], np.array(one["weights"]), np.array(one["offsets"]))
        for name, one in stored.items()
    }
