"""Contextual substitution: words that a masked language model holds for likely take the place of others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autokd.contracts import Context, Cost, Facts, Sizes, TextModel
from autokd.core.task import Split
from autokd.engine.text_files import Rewrite, written_texts
from autokd.methods.basics import checks
from autokd.models.folders import folder_content
from autokd.models.masked_lm import MaskedLM

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True)
class ContextualSubstitution:
    """Rewrites texts: a masked language model replaces some words by others that fit there.

    What: of a text's n words, ``round(share * n)`` (at least one) are masked, each as a whole, and read in one pass;
        each is replaced by a draw from the likeliest other words that together have the chance top_p.
        Both texts of a pair are changed; the label is the source row's.
    Equation: ``w' ~ p(w | text with masks)``, cut to its nucleus of mass top_p and scaled to 1.
    Symbols: model: hub id or folder of the masked language model; share: fraction of the words that are replaced (the
        paper's ``aug_p``); top_p: mass of the nucleus.
    Source: Distiller, arXiv:2109.11105 (its augmentation "contextual", DistilBERT, top_p 0.8).
    Differences: all of a text's words are masked at once, so that each text takes one pass, nlpaug goes word by word;
        punctuation stays; only whole words of the vocabulary come in; a text's words depend on its place in the data
        and the seeds alone.
    """

    kind: ClassVar[str] = "augmenter"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"text"}))
    assets: ClassVar[Mapping[str, str]] = MappingProxyType({"model": "masked_lm"})

    model: str = "distilbert/distilbert-base-uncased"
    share: float = 0.3
    top_p: float = 0.8

    def __post_init__(self) -> None:
        if not self.model:
            raise checks.refusal(self, "model", "a hub id or a folder", self.model)
        checks.number(self, "share", 0, 1)
        checks.above(self, "top_p", 0)
        checks.number(self, "top_p", 0, 1)

    def rewrite(self, rows: Split, ctx: Context) -> Split:
        """The rows with other words. Raises SpecError where the model has no masked-language-model head."""
        folder, seed = ctx.asset(self.model), ctx.seeds.integer("expand:contextual")

        def load() -> Rewrite:
            model = MaskedLM(folder, ctx.device)
            return lambda texts, start: self._rewritten(texts, start, model, seed)

        fields = {**asdict(self), "model": folder_content(str(folder))}
        key = ["distiller:ContextualSubstitution", self.version, fields, seed]
        return rows.with_texts(written_texts(rows.texts, key, load, ctx))

    def cost(self, sizes: Sizes) -> Cost:
        """One pass of the model, its output layer on the masked words alone."""
        model = sizes.assets.get(self.model)
        if not isinstance(model, TextModel):
            return Cost(0.0, known=False)
        return Cost(sizes.length * (model.read_macs + self.share * model.write_macs))

    def _rewritten(self, texts: Sequence[str], start: int, model: MaskedLM, seed: int) -> list[str]:
        drawn = [np.random.Generator(np.random.PCG64([seed, start + i])) for i in range(len(texts))]
        masked = [mask_words(text, self.share, model, draw) for text, draw in zip(texts, drawn, strict=True)]
        chances = model.chances([ids for ids, _ in masked])
        return [
            self._replaced(text, places, found, model, draw)
            for text, (_, places), found, draw in zip(texts, masked, chances, drawn, strict=True)
        ]

    def _replaced(
        self, text: str, places: list[tuple[int, int]], chances: Tensor, model: MaskedLM, draw: np.random.Generator
    ) -> str:
        """The text with a drawn word in each of these stretches; ``chances`` [n_places, vocabulary]."""
        parts, end = [], 0
        for (begin, stop), shares in zip(places, chances, strict=True):
            old = text[begin:stop]
            others = shares.index_fill(0, torch.tensor(model.spelt(old), dtype=torch.long), 0.0)
            drawn = draw_id(others, self.top_p, float(draw.random()))
            parts += [text[end:begin], old if drawn is None else model.words[drawn]]
            end = stop
        return "".join([*parts, text[end:]])


def mask_words(
    text: str, share: float, model: MaskedLM, draw: np.random.Generator
) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of a text in which some words are each one mask, and where these words stand in it, ascending."""
    ids, offsets = model.encode(text)
    tokens = _tokens_of_words(text, offsets)
    if not tokens:
        return ids, []
    count = min(len(tokens), max(1, round(share * len(tokens))))
    chosen = sorted(draw.choice(len(tokens), size=count, replace=False).tolist())
    stretches = list(tokens)
    first = {tokens[stretches[i]][0] for i in chosen}
    rest = {token for i in chosen for token in tokens[stretches[i]][1:]}
    masked = [model.mask_id if i in first else token for i, token in enumerate(ids) if i not in rest]
    return masked, [stretches[i] for i in chosen]


def _tokens_of_words(text: str, offsets: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    """The positions of each word's tokens, for the words of which the model reads any, in the order of the text."""
    words = [match.span() for match in _WORD.finditer(text)]
    found: dict[tuple[int, int], list[int]] = {}
    at = 0
    for position, (start, end) in enumerate(offsets):
        while at < len(words) and words[at][1] <= start:
            at += 1
        if at < len(words) and start < end and words[at][0] < end:
            found.setdefault(words[at], []).append(position)
    return found


def draw_id(chances: Tensor, top_p: float, chance: float) -> int | None:
    """The id of the nucleus at which the running sum of its chances passes ``chance`` in [0, 1); chances [vocabulary].

    The nucleus holds the likeliest ids that together have ``top_p`` of all chances. None where all of them are 0.
    """
    total = chances.double().sum()
    if float(total) == 0.0:
        return None
    shares, order = (chances.double() / total).sort(descending=True, stable=True)
    running = shares.cumsum(0)
    size = min(int((running < top_p).sum()) + 1, int((shares > 0).sum()))
    place = int((running[:size] <= chance * running[size - 1]).sum())
    return int(order[min(place, size - 1)])
