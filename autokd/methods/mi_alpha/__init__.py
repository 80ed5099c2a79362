"""Mutual information between teacher and student as a training objective (Distiller, arXiv:2109.11105)."""

from autokd.methods.mi_alpha.bound import bound_parts, information, leave_one_out
from autokd.methods.mi_alpha.objective import MutualInformation

__all__ = ["MutualInformation", "bound_parts", "information", "leave_one_out"]
