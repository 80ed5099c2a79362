"""Pruning by an upper confidence bound of weights' importance while a student trains (PLATON, arXiv:2206.12562)."""

from autokd.methods.platon.hooks import Platon, StructuredPlaton

__all__ = ["Platon", "StructuredPlaton"]
