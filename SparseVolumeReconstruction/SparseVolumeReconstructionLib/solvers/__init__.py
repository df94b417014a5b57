"""Linear systems and determinants of covariances that are known by what they do, shared by all posteriors."""

from .conjugate_gradients import conjugate_gradients
from .lanczos import log_determinant
from .preconditioner import CirculantPreconditioner

__all__ = ["CirculantPreconditioner", "conjugate_gradients", "log_determinant"]
