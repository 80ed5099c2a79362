"""From the rows of a split, whatever they are, to what networks read."""

from __future__ import annotations

from pathlib import Path

from autokd.contracts import Rows
from autokd.core.graph import NodeSplit
from autokd.core.task import Problem, Split
from autokd.engine import tokens
from autokd.engine.nodes import node_rows


def encode(split: Split, tokenizer_folder: str | Path, max_length: int, problem: Problem) -> Rows:
    """Texts by a tokenizer, as ``tokens.encode``; nodes of a graph as they are, whatever the other arguments say."""
    if isinstance(split, NodeSplit):
        return node_rows(split)
    return tokens.encode(split, tokenizer_folder, max_length, problem)
