"""The tree that a space's YAML is read into.

Every node can do four things, and together they make a space invertible. ``values`` expands with given parameters;
``match`` goes the other way and lists the parameters that give a value; ``count`` counts; ``draw`` walks the active
holes in text order, asking for each one's value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autokd.core.holes import Choice, Hole, Range, same

Params = dict[str, Any]
Defaults = Callable[[str], Mapping[str, Any]]
Choose = Callable[[Hole], Any]


class Node:
    """A place in the tree. In a list it stands for any number of items, elsewhere for exactly one value."""

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        """The items that the node stands for, given the values of its active holes (others are not read)."""
        raise NotImplementedError

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        """Ways in which the node gives ``items[start:end]``: pairs (end, parameters), in text order."""
        raise NotImplementedError

    def count(self) -> int | None:
        """How many assignments of parameters there are; None where a range of real numbers is among them."""
        raise NotImplementedError

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        """The active holes and the values that ``choose`` gives them, in text order."""
        raise NotImplementedError

    def children(self) -> Sequence[Node]:
        return ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in text order."""
        yield self
        for child in self.children():
            yield from child.walk()


@dataclass(frozen=True)
class Plain(Node):
    """A value without holes."""

    value: Any

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        return [self.value]

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        if start < len(items) and equal(self.value, items[start], defaults):
            yield start + 1, {}

    def count(self) -> int | None:
        return 1

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        return iter(())


@dataclass(frozen=True)
class Fields(Node):
    """A mapping; with a ``use`` among its fields it is a method, whose missing fields take their defaults."""

    fields: tuple[tuple[str, Node], ...]
    use: str | None = None

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        head = {} if self.use is None else {"use": self.use}
        return [{**head, **{name: node.values(params)[0] for name, node in self.fields}}]

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        value = items[start] if start < len(items) else None
        if not isinstance(value, Mapping) or value.get("use") != self.use:
            return
        own = {name for name, _ in self.fields}
        filled = dict(value) if self.use is None else {**defaults(self.use), **value}
        assumed = {} if self.use is None else defaults(self.use)
        rest = [name for name in filled if name not in own and name != "use"]
        if not own <= set(filled) or any(
            name not in assumed or not equal(assumed[name], filled[name], defaults) for name in rest
        ):
            return
        for params in _together([_whole(node, filled[name], defaults) for name, node in self.fields]):
            yield start + 1, params

    def count(self) -> int | None:
        return _product(node.count() for _, node in self.fields)

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        for _, node in self.fields:
            yield from node.draw(choose)

    def children(self) -> Sequence[Node]:
        return tuple(node for _, node in self.fields)


@dataclass(frozen=True)
class Items(Node):
    """A list. Choices in it whose option is a list, and orders, are spliced in."""

    nodes: tuple[Node, ...]

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        return [self.spread(params)]

    def spread(self, params: Mapping[str, Any]) -> list[Any]:
        """The list's items themselves."""
        return [item for node in self.nodes for item in node.values(params)]

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        value = items[start] if start < len(items) else None
        if isinstance(value, (list, tuple)):
            for end, params in self.match_spread(value, 0, defaults):
                if end == len(value):
                    yield start + 1, params

    def match_spread(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        """Ways in which the nodes, one behind the other, give ``items[start:end]``."""
        return _in_turn([node.match for node in self.nodes], items, start, defaults)

    def count(self) -> int | None:
        return _product(node.count() for node in self.nodes)

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        for node in self.nodes:
            yield from node.draw(choose)

    def children(self) -> Sequence[Node]:
        return self.nodes


@dataclass(frozen=True)
class Pick(Node):
    """A choice among named options. ``spliced``: the choice stands in a list, where options that are lists spread."""

    hole: Choice
    options: tuple[tuple[Any, Node], ...]
    spliced: bool

    def option(self, value: Any) -> Node:
        return next(node for name, node in self.options if same(name, value))

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        node = self.option(params[self.hole.name])
        return node.spread(params) if self.spliced and isinstance(node, Items) else node.values(params)

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        for name, node in self.options:
            way = node.match_spread if self.spliced and isinstance(node, Items) else node.match
            for end, params in way(items, start, defaults):
                yield end, {self.hole.name: name, **params}

    def count(self) -> int | None:
        counts = [node.count() for _, node in self.options]
        return None if None in counts else sum(count for count in counts if count is not None)

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        value = choose(self.hole)
        yield self.hole.name, value
        yield from self.option(value).draw(choose)

    def children(self) -> Sequence[Node]:
        return tuple(node for _, node in self.options)


@dataclass(frozen=True)
class Between(Node):
    """A number from a range."""

    hole: Range

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        return [params[self.hole.name]]

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        if start < len(items) and self.hole.allows(items[start]):
            value = items[start]
            yield start + 1, {self.hole.name: int(value) if self.hole.integer else float(value)}

    def count(self) -> int | None:
        return int(self.hole.high) - int(self.hole.low) + 1 if self.hole.integer else None

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        yield self.hole.name, choose(self.hole)


@dataclass(frozen=True)
class Order(Node):
    """Named items in every order. The parameter is the items' names in sequence, joined by ``>``."""

    hole: Choice
    items: tuple[tuple[str, Node], ...]

    def _sequence(self, value: str) -> list[Node]:
        named = dict(self.items)
        return [named[name] for name in value.split(">")]

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = []
        for node in self._sequence(params[self.hole.name]):
            found += node.spread(params) if isinstance(node, Items) else node.values(params)
        return found

    def match(self, items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
        for value in self.hole.options:
            nodes = self._sequence(str(value))
            ways = [node.match_spread if isinstance(node, Items) else node.match for node in nodes]
            for end, params in _in_turn(ways, items, start, defaults):
                yield end, {self.hole.name: value, **params}

    def count(self) -> int | None:
        inside = _product(node.count() for _, node in self.items)
        return None if inside is None else len(self.hole.options) * inside

    def draw(self, choose: Choose) -> Iterator[tuple[str, Any]]:
        yield self.hole.name, choose(self.hole)
        for _, node in self.items:
            yield from node.draw(choose)

    def children(self) -> Sequence[Node]:
        return tuple(node for _, node in self.items)


def equal(left: Any, right: Any, defaults: Defaults) -> bool:
    """Whether two JSON values are the same once methods' defaults are filled in."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if left.get("use") != right.get("use"):
            return False
        assumed = defaults(left["use"]) if isinstance(left.get("use"), str) else {}
        one, other = {**assumed, **left}, {**assumed, **right}
        return one.keys() == other.keys() and all(equal(one[key], other[key], defaults) for key in one)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(equal(a, b, defaults) for a, b in zip(left, right, strict=True))
    return (type(left) is type(right) and left == right) or (_is_number(left) and _is_number(right) and left == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(node: Node, value: Any, defaults: Defaults) -> list[Params]:
    return [params for end, params in node.match([value], 0, defaults) if end == 1]


def _together(ways: Sequence[Sequence[Params]]) -> Iterator[Params]:
    for parts in itertools.product(*ways):
        yield {name: value for part in parts for name, value in part.items()}


Way = Callable[[Sequence[Any], int, Defaults], Iterator[tuple[int, Params]]]


def _in_turn(ways: Sequence[Way], items: Sequence[Any], start: int, defaults: Defaults) -> Iterator[tuple[int, Params]]:
    if not ways:
        yield start, {}
        return
    for middle, first in ways[0](items, start, defaults):
        for end, rest in _in_turn(ways[1:], items, middle, defaults):
            yield end, {**first, **rest}


def _product(counts: Iterator[int | None]) -> int | None:
    found = list(counts)
    return None if None in found else math.prod(count for count in found if count is not None)
