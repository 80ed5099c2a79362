"""Which of a model's outputs stands for which label of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autokd.core.errors import DataError

NAMELESS = "LABEL_"  # how transformers calls classes that were given no names
_MOST_LISTED = 10


@dataclass(frozen=True)
class Classes:
    """The model's classes in the order by which metrics count them: sorted by name, as in a task.

    ``columns`` are their logits, ``ids`` the class of each label of the data. ``note`` says how they were matched where
    that was not by their names.
    """

    names: tuple[str, ...]
    columns: tuple[int, ...]
    ids: Mapping[str, int]
    note: str = ""


VALUES = Classes((), (0,), {})  # of regression: one output, no classes


def match_classes(
    own: Sequence[str], labels: Sequence[str], numbered: Sequence[str], data: str, folder: Path
) -> Classes:
    """Match the ``labels`` of data to the classes ``own`` of a model, which stand in the order of its logits.

    By name, else by name in upper or lower case, else by number (0, 1 ...), where there are as many labels as classes
    or these have no names (``LABEL_0``). Such are otherwise taken for the classes that the data number (``numbered``),
    else for the sorted labels, where they are as many. Raises DataError where a label matches nothing.
    """
    found = (
        _by_name(own, labels) or _by_case(own, labels) or _by_number(own, labels) or _in_order(own, labels, numbered)
    )
    if found is None:
        raise DataError(_no_match(own, labels, data, folder))
    outputs, how = found
    spelled = {output: label for label, output in outputs.items()}
    names = [spelled.get(output, name) for output, name in enumerate(own)]
    columns = sorted(range(len(own)), key=names.__getitem__)
    ids = {label: columns.index(output) for label, output in outputs.items()}
    pairs = ", ".join(f"{label} = {own[output]}" for label, output in list(sorted(outputs.items()))[:_MOST_LISTED])
    note = f"labels are matched to the checkpoint's classes {how}: {pairs}." if how else ""
    return Classes(tuple(names[column] for column in columns), tuple(columns), ids, note)


_Found = tuple[dict[str, int], str] | None


def _by_name(own: Sequence[str], labels: Sequence[str]) -> _Found:
    outputs = {name: i for i, name in enumerate(own)}
    if len(outputs) < len(own) or not set(labels) <= set(outputs):
        return None
    return {label: outputs[label] for label in labels}, ""


def _by_case(own: Sequence[str], labels: Sequence[str]) -> _Found:
    outputs = {name.casefold(): i for i, name in enumerate(own)}
    folded = {label.casefold() for label in labels}
    if len(outputs) < len(own) or len(folded) < len(labels) or not folded <= set(outputs):
        return None
    return {label: outputs[label.casefold()] for label in labels}, "whatever their case"


def _by_number(own: Sequence[str], labels: Sequence[str]) -> _Found:
    outputs = {str(i): i for i in range(len(own))}
    if not set(labels) <= set(outputs) or set(labels) & set(own):  # names such as 1, 2, 3 are no numbers from 0 on
        return None
    if len(labels) < len(own) and not _is_nameless(own):  # 0 and 1 are no two of four emotions
        return None
    return {label: outputs[label] for label in labels}, "by number"


def _in_order(own: Sequence[str], labels: Sequence[str], numbered: Sequence[str]) -> _Found:
    if not _is_nameless(own):
        return None
    if len(numbered) == len(own) and set(labels) <= set(numbered):
        return {name: i for i, name in enumerate(numbered)}, "in the order in which the data number them"
    if len(labels) == len(own):
        return {label: i for i, label in enumerate(sorted(labels))}, "in sorted order, since those have no names"
    return None


def _is_nameless(own: Sequence[str]) -> bool:
    return all(name.startswith(NAMELESS) and name.removeprefix(NAMELESS).isdigit() for name in own)


def _no_match(own: Sequence[str], labels: Sequence[str], data: str, folder: Path) -> str:
    wrong = sorted(set(labels) - set(own))
    told = f"{data!r} has {_listed(wrong)} and {str(folder)!r} has {_listed(own)}"
    if not _is_nameless(own):
        return f"a model can be scored on classes that it knows, but {told}."
    return (
        f"classes without names are taken for as many labels, but {told}; name them by id2label in "
        f"{str(folder / 'config.json')!r}, or write labels as class numbers from 0 on."
    )


def _listed(names: Sequence[str]) -> str:
    further = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + further
