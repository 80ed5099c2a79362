"""Reads a space's YAML and refuses what YAML would silently read as something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from autokd.core.errors import SpecError
from autokd.core.holes import Scalar

_TRUTH = ("true", "false", "True", "False", "TRUE", "FALSE")
_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMAL = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]\d+)?|[-+]?\.\d+([eE][-+]\d+)?")


def read_yaml(text: str, name: str) -> Any:
    """The value of one YAML document.

    Raises SpecError, with ``name`` and the line, for syntax errors, more than one document, repeated keys, keys that
    are not texts, and plain words that YAML takes for something else: ``1e-5`` (a text), ``on`` and ``no`` (truth
    values), ``012`` and ``1:30`` (numbers of another base), dates.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise SpecError(f"the space {name!r} is empty.")
        for node in _nodes(root, (), name):
            if isinstance(node, yaml.ScalarNode):
                _check_scalar(node, name)
            elif isinstance(node, yaml.MappingNode):
                _check_keys(node, name)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise SpecError(f"{name}{where}: not YAML: {getattr(error, 'problem', None) or error}.") from None


def with_options(text: str, hole: str, options: Sequence[Scalar]) -> str:
    """The text of a space with the list of options of one hole replaced, and nothing else (comments stay).

    Where no hole of that name has a list of plain options, the text comes back as it was.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for node in _nodes(root, (), hole) if root is not None else ():
        if not isinstance(node, yaml.MappingNode):
            continue
        entries = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
        named, pick = entries.get("name"), entries.get("pick")
        if named is not None and named.value == hole and isinstance(pick, yaml.SequenceNode):
            end = pick.end_mark.index
            if not pick.flow_style:  # a block list's mark lies behind its last line break
                end = pick.value[-1].end_mark.index
            return text[: pick.start_mark.index] + json.dumps(list(options), ensure_ascii=False) + text[end:]
    return text


def _nodes(node: yaml.Node, above: tuple[yaml.Node, ...], name: str) -> Iterator[yaml.Node]:
    """A node and all below it. Refuses an anchor that holds itself."""
    if any(node is one for one in above):
        raise SpecError(f"{_place(node, name)}: an anchor must not hold itself.")
    yield node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(key, (*above, node), name)
            yield from _nodes(value, (*above, node), name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _nodes(item, (*above, node), name)


def _check_keys(node: yaml.MappingNode, name: str) -> None:
    seen = set()
    for key, _ in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise SpecError(f"{_place(key, name)}: a key must be a text, but got {shown}; put it in quotes.")
        if key.value in seen:
            raise SpecError(f"{_place(key, name)}: the key {key.value!r} stands twice in one mapping.")
        seen.add(key.value)


def _check_scalar(node: yaml.ScalarNode, name: str) -> None:
    if node.style is not None:  # in quotes or a block: meant as it stands
        return
    kind, value = node.tag.rpartition(":")[2], node.value
    if kind == "bool" and value not in _TRUTH:
        raise SpecError(
            f"{_place(node, name)}: {value!r} means a truth value; write true or false, or put it in quotes."
        )
    if kind == "str" and _NUMBER.fullmatch(value):
        raise SpecError(
            f"{_place(node, name)}: YAML reads {value!r} as a text; write a number with a point and a signed exponent "
            f"({_spelled(value)}), or put it in quotes."
        )
    if kind in ("int", "float") and not _DECIMAL.fullmatch(value.replace("_", "")):
        raise SpecError(f"{_place(node, name)}: a number must be a plain decimal one, but got {value!r}.")
    if kind in ("timestamp", "binary", "value", "merge"):
        raise SpecError(f"{_place(node, name)}: {value!r} would be read as a {kind}; put it in quotes.")


def _spelled(value: str) -> str:
    mantissa, _, exponent = value.lower().partition("e")
    mantissa = mantissa if "." in mantissa else mantissa + ".0"
    sign = "" if exponent[:1] in ("-", "+") else "+"
    return f"{mantissa}e{sign}{exponent}" if exponent else mantissa


def _place(node: yaml.Node, name: str) -> str:
    return f"{name}, line {node.start_mark.line + 1}"
