"""Linear systems and determinants of covariances that are known by what they do, shared by all posteriors."""

from .conjugate_gradients import Apply, conjugate_gradients
from .lanczos import log_determinant
from .preconditioner import LowRankPreconditioner, block_inverse, circulant_inverse

__all__ = [
    "Apply",
    "LowRankPreconditioner",
    "block_inverse",
    "circulant_inverse",
    "conjugate_gradients",
    "log_determinant",
]
