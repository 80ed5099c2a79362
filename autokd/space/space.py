"""A search space: from parameters to a pipeline's JSON, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autokd.core.errors import SpecError, unknown
from autokd.core.holes import Choice, Hole
from autokd.space.grammar import read_space
from autokd.space.nodes import Between, Choose, Defaults, Fields, Order, Params, Pick
from autokd.space.yaml_text import read_yaml


@dataclass(frozen=True)
class Space:
    """Pipelines with open places. ``name`` and ``text`` are those of the YAML that it was read from."""

    name: str
    text: str
    root: Fields

    @staticmethod
    def parse(text: str, name: str) -> Space:
        """Read a space's YAML (the grammar: ``autokd.space.grammar``). Raises SpecError for what breaks a rule."""
        return Space(name, text, read_space(read_yaml(text, name), name))

    @cached_property
    def holes(self) -> tuple[Hole, ...]:
        """Every hole, in text order, whether active or not."""
        return tuple(node.hole for node in self.root.walk() if isinstance(node, (Pick, Between, Order)))

    def hole(self, name: str) -> Hole:
        """The hole of that name. Raises SpecError where there is none."""
        for hole in self.holes:
            if hole.name == name:
                return hole
        raise SpecError(unknown(f"parameter of the space {self.name!r}", name, (hole.name for hole in self.holes)))

    def uses(self) -> frozenset[str]:
        """The addresses of all methods that some pipeline of the space uses."""
        return frozenset(node.use for node in self.root.walk() if isinstance(node, Fields) and node.use is not None)

    def size(self) -> int | None:
        """How many assignments of parameters there are, None where a range of real numbers is among them."""
        return self.root.count()

    def sample(self, choose: Choose) -> Params:
        """An assignment of the active holes: ``choose`` is asked for each one's value, in text order."""
        return dict(self.root.draw(choose))

    def active(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the holes that these parameters open, in text order. Others among them are not looked at.

        Raises SpecError for a parameter that is missing or has a value which its hole does not allow.
        """
        return tuple(self.sample(lambda hole: self._given(hole, params)))

    def decode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The pipeline ``{"stages": [...], "form": ...}`` of an assignment; defaults of methods are not filled in.

        Raises SpecError for a parameter that is missing, not active, unknown, or out of its hole.
        """
        active = self.active(params)
        for name in params:
            if name not in active:
                self.hole(name)
                raise SpecError(f"the parameter {name!r} is not active together with the others; active are {active}.")
        pipeline: dict[str, Any] = self.root.values(params)[0]
        return pipeline

    def encode(self, pipeline: Mapping[str, Any], defaults: Defaults) -> Params | None:
        """Parameters that give this pipeline, None where the space has no such pipeline.

        Both sides are compared with the defaults of methods filled in (``defaults(use)`` maps a method's fields to
        them). Where several assignments give the pipeline, it is the one that comes first in text order.
        """
        whole = {"form": "float32", **pipeline}
        for _, params in self.root.match([whole], 0, defaults):
            return params
        return None

    def walk(self) -> Iterator[Params]:
        """Every assignment in text order, ranges at their two ends only. Lazy: a space may have very many."""
        path: list[int] = []
        while True:
            widths: list[int] = []

            def choose(hole: Hole, widths: list[int] = widths) -> Any:
                options = hole.options if isinstance(hole, Choice) else (hole.low, hole.high)
                widths.append(len(options))
                if len(path) < len(widths):
                    path.append(0)
                return options[path[len(widths) - 1]]

            yield self.sample(choose)
            while path and path[-1] + 1 == widths[len(path) - 1]:
                path.pop()
            if not path:
                return
            path[-1] += 1

    def examples(self) -> Iterator[tuple[str, Any, Params]]:
        """For every option of every choice, an assignment that takes it: (hole, option, parameters).

        Other holes have their first option or their lower end, as far as the option can be reached that way.
        """
        wanted = {(hole.name, option) for hole in self.holes if isinstance(hole, Choice) for option in hole.options}
        for params in self._reaching():
            for name, value in params.items():
                if (name, value) in wanted:
                    wanted.discard((name, value))
                    yield name, value, params

    def _reaching(self) -> Iterator[Params]:
        """Assignments that together take every option: from the first one, each option is tried in turn, and so on
        for the holes that it opens."""
        todo: list[Params] = [{}]
        tried: set[tuple[str, Any]] = set()
        while todo:
            fixed = todo.pop(0)
            params = self.sample(lambda hole, fixed=fixed: fixed.get(hole.name, hole.first))  # type: ignore[misc]
            yield params
            for name in params:
                hole = self.hole(name)
                for option in hole.options if isinstance(hole, Choice) else ():
                    if (name, option) not in tried:
                        tried.add((name, option))
                        todo.append({**fixed, name: option})

    def _given(self, hole: Hole, params: Mapping[str, Any]) -> Any:
        if hole.name not in params:
            raise SpecError(f"the parameter {hole.name!r} is missing: it must be {hole.describe()}.")
        value = params[hole.name]
        if not hole.allows(value):
            raise SpecError(f"the parameter {hole.name!r} must be {hole.describe()}, but got {value!r}.")
        return value
