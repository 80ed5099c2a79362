"""Feed-forward networks split into experts, of which each token passes one (MoEBERT, arXiv:2204.07675)."""

from autokd.methods.moebert.balance import LoadBalance
from autokd.methods.moebert.experts import HashExperts
from autokd.methods.moebert.gates import SentenceGatedExperts, TokenGatedExperts
from autokd.methods.moebert.stage import ToExperts
from autokd.methods.moebert.transfer import LayerTransfer

__all__ = ["HashExperts", "LayerTransfer", "LoadBalance", "SentenceGatedExperts", "ToExperts", "TokenGatedExperts"]
