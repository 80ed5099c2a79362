"""Neighbour sampling in graph networks by bandits: Thanos, and what it is compared with."""

from autokd.methods.thanos.samplers import BanditSampler, Thanos, Uniform

__all__ = ["BanditSampler", "Thanos", "Uniform"]
