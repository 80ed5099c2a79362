"""What forecasts know of what methods name beside the networks: models that write text, supernets, texts."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from statistics import mean

from autokd.contracts import Corpus, TextModel
from autokd.models.subspaces import SupernetSizes
from autokd.models.supernet_folder import supernet_sizes
from autokd.models.text_models import text_model
from autokd.tasks.corpus import read_corpus

_TOKENS_PER_WORD = 1.35  # of English text in the word pieces of BERT
_SPECIAL = 2


def asset_sizes(folder: str | Path, kind: str, n_outputs: int, max_length: int) -> TextModel | Corpus | SupernetSizes:
    """What is known of an asset of a kind, for a task of ``n_outputs`` whose rows are cut to ``max_length`` tokens."""
    if kind == "corpus":
        return _corpus(str(folder), max_length)
    if kind == "supernet":
        return supernet_sizes(Path(folder), n_outputs)
    return text_model(folder, kind)


@lru_cache(maxsize=8)
def _corpus(place: str, max_length: int) -> Corpus:
    """Tokens are estimated from words: tokenising a corpus takes as long as everything else before a search."""
    texts = read_corpus(Path(place))
    lengths = (min(_TOKENS_PER_WORD * len(text.split()) + _SPECIAL, max_length) for text in texts)
    return Corpus(len(texts), mean(lengths))
