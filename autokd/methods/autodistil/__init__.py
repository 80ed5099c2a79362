"""AutoDistil (arXiv:2201.12507): a supernet taught by relations, and students taken out of it without training."""

from autokd.methods.autodistil.search import ExtractSubnet, SearchSubnet
from autokd.methods.autodistil.supernet import LoadSupernet, TrainSupernet

__all__ = ["ExtractSubnet", "LoadSupernet", "SearchSubnet", "TrainSupernet"]
