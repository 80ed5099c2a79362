"""Texts that say nearly the same, found exactly: sets of words whose overlap reaches a threshold."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def words_of(text: str) -> frozenset[str]:
    """The set of a text's lower-case words."""
    return frozenset(_WORD.findall(text.lower()))


def first_of_each(texts: Sequence[str], least_overlap: float) -> list[int]:
    """Positions of the texts to keep so that no two overlap too much: greedily, each against those kept before it.

    The overlap of two texts is Jaccard's: shared words over all words of both, in [0, 1]. From ``least_overlap`` on
    (above 0) the later text is dropped.

    Exact without comparing all pairs: two sets of which one has ``n`` words can reach the overlap only if they share
    one of its ``n - ceil(t n) + 1`` rarest words (prefix filtering).
    """
    sets = [words_of(text) for text in texts]
    count = Counter(word for words in sets for word in words)
    kept_with: dict[str, list[int]] = defaultdict(list)
    kept = []
    for row, words in enumerate(sets):
        rarest = sorted(words, key=lambda word: (count[word], word))
        prefix = rarest[: len(words) - math.ceil(least_overlap * len(words) - 1e-9) + 1]
        near = {other for word in prefix for other in kept_with[word]}
        alike = (sets[other] for other in near if len(sets[other]) >= least_overlap * len(words))
        if any(_overlap(words, other) >= least_overlap for other in alike):
            continue
        kept.append(row)
        for word in prefix:
            kept_with[word].append(row)
    return kept


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0
