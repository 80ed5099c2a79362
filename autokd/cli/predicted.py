"""How predictions are written: every column of the input as it was, and behind them what the model says."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autokd.cli.texts import Texts

if TYPE_CHECKING:
    from autokd.deploy.scoring import Predicted

PREDICTION, SCORE, PROBABILITIES = "prediction", "score", "probabilities"
_PREFIX = "autokd_"  # of a column of ours whose name the input has already


def added_names(wanted: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """What our columns are called beside the input's: their own names, with a prefix where the input has those."""
    names, found = set(taken), {}
    for name in wanted:
        free = name
        while free in names:
            free = _PREFIX + free
        found[name] = free
    return found


def as_separated(texts: Texts, found: Predicted, delimiter: str) -> Iterator[str]:
    """Lines of a csv or tsv table: the input's columns, then ``prediction``, and for classes ``score`` (the
    probability of the one predicted) and ``probability:CLASS`` for each.

    Cells that are no text or number are written as JSON, those that hold nothing are empty.
    """
    heads = [PREDICTION]
    if found.probabilities is not None:
        heads += [SCORE, *(f"probability:{name}" for name in found.labels)]
    names = added_names(heads, texts.columns)
    yield _line([*texts.columns, *names.values()], delimiter)
    for row in range(len(texts)):
        yield _line([*map(_cell, texts.row(row).values()), *_told(found, row)], delimiter)


def as_jsonl(texts: Texts, found: Predicted) -> Iterator[str]:
    """One JSON object a line: the input's columns, then ``prediction``, and for classes ``score`` and
    ``probabilities`` by class."""
    names = added_names((PREDICTION, SCORE, PROBABILITIES), texts.columns)
    for row in range(len(texts)):
        said = {names[name]: value for name, value in _said(found, row).items()}
        yield json.dumps({**_plain(texts.row(row)), **said}, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _said(found: Predicted, row: int) -> Mapping[str, Any]:
    if found.probabilities is None:
        assert found.values is not None
        return {PREDICTION: float(found.values[row])}
    shares = [round(float(share), 6) for share in found.probabilities[row]]
    return {
        PREDICTION: found.label(row),
        SCORE: max(shares),
        PROBABILITIES: dict(zip(found.labels, shares, strict=True)),
    }


def _told(found: Predicted, row: int) -> list[str]:
    said = _said(found, row)
    if PROBABILITIES not in said:
        return [f"{said[PREDICTION]:.6f}"]
    return [said[PREDICTION], f"{said[SCORE]:.6f}", *(f"{share:.6f}" for share in said[PROBABILITIES].values())]


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, default=str)
    return str(value)


def _plain(value: Any) -> Any:
    """The value without what JSON cannot hold: numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(cells: list[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return line.getvalue()
