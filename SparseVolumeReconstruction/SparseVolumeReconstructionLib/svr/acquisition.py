"""In which order the slices of a stack were taken, and which of them together."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

ORDERS = ("ascending", "descending", "interleaved", "interleaved-even")


class Acquisition(BaseModel):
    """How a stack was acquired.

    order: of places, which count from the first slice of the file: "ascending"; "descending";
    "interleaved", each `step`-th one from the first, then from the second and so on; "interleaved-even", the
    same from the second one on. multiband: so many slices, evenly spread over the stack, are taken at once
    and move together.
    """

    model_config = ConfigDict(extra="forbid")
    order: Literal["ascending", "descending", "interleaved", "interleaved-even"] = "ascending"
    step: int = Field(default=2, ge=2, le=20)
    multiband: int = Field(default=1, ge=1, le=20)

    def shots(self, count: int) -> np.ndarray:
        """When each place of a stack is taken, (count,) int, from 0; the same where this is at once."""
        apart = -(-count // self.multiband)  # places between slices that are taken at once
        places = np.arange(apart)
        if self.order == "descending":
            places = places[::-1]
        elif self.order.startswith("interleaved"):
            starts = list(range(self.step))
            if self.order == "interleaved-even":
                starts = starts[1:] + starts[:1]
            places = np.concatenate([np.arange(start, apart, self.step) for start in starts])
        when = np.empty(apart, int)
        when[places] = np.arange(apart)
        return when[np.arange(count) % apart]
