"""Distiller's objectives on hidden states and its text augmenters (arXiv:2109.11105).

Its others are in ``basics`` (HiddenMSE, Logits, WordSwap, Mixup) and ``mi_alpha``; the space ``distiller`` joins them.
"""

from autokd.methods.distiller.back_translation import BackTranslation
from autokd.methods.distiller.contextual import ContextualSubstitution
from autokd.methods.distiller.objectives import PKD, Cosine, HiddenCE

__all__ = ["PKD", "BackTranslation", "ContextualSubstitution", "Cosine", "HiddenCE"]
