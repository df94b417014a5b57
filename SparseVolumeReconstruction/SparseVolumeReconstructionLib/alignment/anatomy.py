"""What shows anatomy, and not air, in an image of any units."""

from __future__ import annotations

import numpy as np

_SHARE, _BRIGHT = 0.1, 0.99


def anatomy_level(values: np.ndarray) -> float:
    """The value above which pixels show anatomy: a tenth of the brightest ones; 0 where there are none."""
    return _SHARE * float(np.quantile(values, _BRIGHT)) if np.size(values) else 0.0
