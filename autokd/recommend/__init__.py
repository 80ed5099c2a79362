"""What to try next."""

from autokd.recommend.proposals import propose

__all__ = ["propose"]
