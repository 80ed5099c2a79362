"""Pipelines as people read them: what is the same everywhere is said once, what differs is said per trial.

Resolved pipelines name every field, a hundred of them; a table of trials needs the few that vary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autokd.core.canonical import Json, canonical

Field = tuple[tuple[str, ...], str]  # addresses from the stage down to the method, name of one of its fields


def varying(pipelines: Sequence[Mapping[str, Any]]) -> frozenset[Field]:
    """The fields that do not have one value wherever their method occurs at its place in these pipelines."""
    return frozenset(field for field, values in _values(pipelines).items() if len(values) > 1)


def fixed(pipelines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Json]]:
    """The fields that are the same everywhere, by their method's place, such as ``basics:Distil > basics:AdamW``."""
    found: dict[str, dict[str, Json]] = {}
    for (place, name), values in _values(pipelines).items():
        if len(values) == 1:
            found.setdefault(" > ".join(place), {})[name] = next(iter(values.values()))
    return found


def one_line(pipeline: Mapping[str, Any], shown: frozenset[Field] | None = None) -> str:
    """One pipeline as one line, such as ``TruncateLayers keep=3 → Distil (Logits temperature=4, AdamW lr=3e-05)``.

    ``shown`` are the fields to print, None for all of them.
    """
    text = " → ".join(_line(stage, (), shown) for stage in pipeline.get("stages", ()))
    form = pipeline.get("form", "float32")
    return text if form == "float32" else f"{text} → {form}"


def number(value: float) -> str:
    """A number in at most four significant digits, without trailing zeros."""
    return f"{value:.4g}"


def _line(method: Mapping[str, Any], above: tuple[str, ...], shown: frozenset[Field] | None) -> str:
    use = str(method["use"])
    place = (*above, use)
    fields = _plain_fields(method)
    words = [use.partition(":")[2] or use]
    words += [f"{name}={_plain(value)}" for name, value in fields if shown is None or (place, name) in shown]
    inside = [_line(child, place, shown) for child in _children(method)]
    return " ".join(words) + (f" ({', '.join(inside)})" if inside else "")


def _plain(value: Json) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, int) else number(value)
    return value if isinstance(value, str) else canonical(value)


def _values(pipelines: Sequence[Mapping[str, Any]]) -> dict[Field, dict[str, Json]]:
    """The values of each field, by their text."""
    seen: dict[Field, dict[str, Json]] = {}
    for pipeline in pipelines:
        for stage in pipeline.get("stages", ()):
            for place, name, value in _fields(stage, ()):
                seen.setdefault((place, name), {})[canonical(value)] = value
    return seen


def _fields(method: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, Json]]:
    place = (*above, str(method["use"]))
    for name, value in _plain_fields(method):
        yield place, name, value
    for child in _children(method):
        yield from _fields(child, place)


def _children(method: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = []
    for value in method.values():
        found += [item for item in (value if isinstance(value, (list, tuple)) else [value]) if _is_method(item)]
    return found


def _plain_fields(method: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for name, value in method.items():
        holds_methods = _is_method(value) or (isinstance(value, (list, tuple)) and any(_is_method(v) for v in value))
        if name != "use" and not holds_methods and value not in ([], ()):
            yield name, value


def _is_method(value: object) -> bool:
    return isinstance(value, Mapping) and "use" in value
