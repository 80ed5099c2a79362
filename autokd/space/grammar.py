"""From a space's YAML value to its tree, with every rule of the grammar checked on the way.

====================================================  =========================================================
``{use: module:Class, field: ...}``                   a method; fields hold values, holes, methods and lists
``{name: N, pick: [a, b]}``                           one of several plain values
``{name: N, pick: {first: ..., second: ...}}``        one of several named options, which may hold further holes
``{name: N, low: 0.1, high: 0.5}``                    a real number; ``log: true`` draws it on a logarithmic scale
``{name: N, low: 1, high: 8}``                        a whole number, because both ends are written as such
``{order: {name: N}, of: {first: ..., second: ...}}`` these items in any order; only inside a list
====================================================  =========================================================

Inside a list, an option that is a list is spliced in, so ``[]`` is the option that does nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from autokd.core.errors import SpecError, unknown
from autokd.core.holes import Choice, Range
from autokd.space.nodes import Between, Fields, Items, Node, Order, Pick, Plain

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ADDRESS = re.compile(r"[A-Za-z_]\w*:[A-Za-z_]\w*")
_HOLE_KEYS = ("pick", "low", "high", "log", "order", "of")
_MAX_ORDERED = 5  # 120 orders: more make a categorical that no sampler can learn


def read_space(value: Any, name: str) -> Fields:
    """The tree of a whole space: a mapping with ``stages`` and, where it is not float32, ``form``.

    Raises SpecError, with the place in the space, for what breaks a rule; ``name`` is the space's own.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("stages"), list) or not value["stages"]:
        raise SpecError(f"{name}: a space is a mapping with a list 'stages', but got {_short(value)}.")
    for key in value:
        if key not in ("stages", "form"):
            raise SpecError(f"{name}: {unknown('part of a space', str(key), ['stages', 'form'])}")
    form = value.get("form", "float32")
    if not isinstance(form, (str, Mapping)):
        raise SpecError(f"{name}: form must be a text or a pick among texts, but got {_short(form)}.")
    reader = _Reader(name)
    stages = Items(tuple(reader.item(item, f"stages[{i}]", stage=True) for i, item in enumerate(value["stages"])))
    return Fields((("stages", stages), ("form", reader.value(form, "form"))))


class _Reader:
    """Reads nodes and remembers the names of the holes seen so far."""

    def __init__(self, space: str) -> None:
        self._space = space
        self._seen: dict[str, str] = {}

    def value(self, value: Any, place: str) -> Node:
        """What stands where exactly one value is expected."""
        if isinstance(value, list):
            return Items(tuple(self.item(item, f"{place}[{i}]") for i, item in enumerate(value)))
        if not isinstance(value, Mapping):
            return Plain(value)
        if "use" in value:
            return self._method(value, place)
        if "order" in value or "of" in value:
            raise self._error(place, "an order can only stand in a list")
        if any(key in value for key in _HOLE_KEYS):
            return self._hole(value, place, spliced=False, stage=False)
        return Fields(tuple((key, self.value(inner, f"{place}.{key}")) for key, inner in value.items()))

    def item(self, value: Any, place: str, *, stage: bool = False) -> Node:
        """What stands in a list; ``stage``: in the list of stages, where only methods make sense."""
        if isinstance(value, Mapping) and "use" not in value:
            if "order" in value or "of" in value:
                return self._order(value, place, stage)
            if any(key in value for key in _HOLE_KEYS):
                return self._hole(value, place, spliced=True, stage=stage)
        if stage and not (isinstance(value, Mapping) and "use" in value):
            raise self._error(place, f"a stage is a method with 'use', a pick or an order, but got {_short(value)}")
        return self.value(value, place)

    def _part(self, value: Any, place: str, spliced: bool, stage: bool) -> Node:
        """An option of a pick, or an item of an order."""
        if not spliced:
            return self.value(value, place)
        if isinstance(value, list):
            return Items(tuple(self.item(item, f"{place}[{i}]", stage=stage) for i, item in enumerate(value)))
        if value is None:
            raise self._error(place, "an empty option of a list is written []")
        return self.item(value, place, stage=stage)

    def _method(self, value: Mapping[str, Any], place: str) -> Node:
        use = value["use"]
        if not isinstance(use, str) or not _ADDRESS.fullmatch(use):
            raise self._error(place, f"'use' is an address of the form module:Class, but got {_short(use)}")
        fields = ((key, inner) for key, inner in value.items() if key != "use")
        return Fields(tuple((key, self.value(inner, f"{place}.{key}")) for key, inner in fields), use)

    def _hole(self, value: Mapping[str, Any], place: str, spliced: bool, stage: bool) -> Node:
        if "pick" in value:
            self._keys(value, place, {"name", "pick"})
            return self._pick(self._name(value, place), value["pick"], place, spliced, stage)
        self._keys(value, place, {"name", "low", "high", "log"})
        if stage:
            raise self._error(place, "a stage cannot be a number")
        return Between(self._range(self._name(value, place), value, place))

    def _pick(self, name: str, options: Any, place: str, spliced: bool, stage: bool) -> Node:
        if isinstance(options, list):
            if any(isinstance(option, (list, Mapping)) for option in options) or stage:
                raise self._error(
                    place, "options that are not plain values need names: pick: {first: ..., second: ...}"
                )
            pairs = tuple((option, Plain(option)) for option in options)
        elif isinstance(options, Mapping):
            for option in options:
                self._check_name(option, place, "an option")
            inner = (
                (option, self._part(inside, f"{name}.{option}", spliced, stage)) for option, inside in options.items()
            )
            pairs = tuple(inner)  # type: ignore[arg-type]
        else:
            raise self._error(place, f"'pick' is a list or a mapping of options, but got {_short(options)}")
        names = tuple(option for option, _ in pairs)
        if not names:
            raise self._error(place, "a pick needs at least one option")
        for one, other in itertools.combinations(names, 2):
            if one == other:
                raise self._error(place, f"options must differ, but {one!r} and {other!r} are equal")
        return Pick(Choice(name, names), pairs, spliced)

    def _range(self, name: str, value: Mapping[str, Any], place: str) -> Range:
        low, high, log = value.get("low"), value.get("high"), value.get("log", False)
        if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or bool in (type(low), type(high)):
            raise self._error(place, f"a range needs the numbers low and high, but got {_short(dict(value))}")
        if not isinstance(log, bool):
            raise self._error(place, f"'log' is true or false, but got {_short(log)}")
        if low >= high or (log and low <= 0):
            rule = "low must be below high" + (" and above zero" if log else "")
            raise self._error(place, f"{rule}, but got low {low} and high {high}")
        integer = isinstance(low, int) and isinstance(high, int)
        return Range(name, low if integer else float(low), high if integer else float(high), log, integer)

    def _order(self, value: Mapping[str, Any], place: str, stage: bool) -> Node:
        self._keys(value, place, {"order", "of"})
        head, items = value.get("order"), value.get("of")
        if not isinstance(head, Mapping) or set(head) != {"name"} or not isinstance(items, Mapping):
            raise self._error(place, "an order has the form {order: {name: N}, of: {first: ..., second: ...}}")
        if not 2 <= len(items) <= _MAX_ORDERED:
            raise self._error(place, f"an order is of 2 to {_MAX_ORDERED} items, but got {len(items)}")
        name = self._name(head, place)
        for item in items:
            self._check_name(item, place, "an item")
        parts = tuple((item, self._part(inside, f"{name}.{item}", True, stage)) for item, inside in items.items())
        orders = tuple(">".join(order) for order in itertools.permutations(items))
        return Order(Choice(name, orders), parts)

    def _name(self, value: Mapping[str, Any], place: str) -> str:
        name = value.get("name")
        if name is None:
            raise self._error(place, "a hole needs a name")
        self._check_name(name, place, "a hole")
        assert isinstance(name, str)
        if name in self._seen:
            raise self._error(place, f"names of holes are unique, but {name!r} stands at {self._seen[name]} too")
        self._seen[name] = place
        return name

    def _check_name(self, name: Any, place: str, what: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self._error(place, f"{what} is named with letters, digits, '_', '-' and '.', but got {_short(name)}")

    def _keys(self, value: Mapping[str, Any], place: str, allowed: set[str]) -> None:
        for key in value:
            if key not in allowed:
                raise self._error(place, unknown("key of a hole", str(key), allowed).rstrip("."))

    def _error(self, place: str, text: str) -> SpecError:
        return SpecError(f"{self._space}, {place}: {text}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
