"""From a pipeline's JSON to method objects and back.

``{"use": "ted:LearnFilters", "dim": 128}`` names a class and sets its fields; fields that are left out take the
class's defaults. Unknown names, unknown fields and values of the wrong type are SpecErrors that list what exists.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, get_args, get_origin

from autokd.contracts import KINDS, Method, NeedsAssets
from autokd.core import address
from autokd.core.canonical import Json
from autokd.core.errors import SpecError

_PLAIN: tuple[type, ...] = (bool, int, float, str)


def build(value: Mapping[str, Any]) -> Method:
    """The method object that a JSON object with ``use`` describes, nested methods included."""
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
        raise SpecError(f"a method is an object with a 'use' address, but got {value!r}.")
    use = value["use"]
    cls = method_class(use)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, given in value.items():
        if name == "use":
            continue
        if name not in fields:
            raise SpecError(f"{use} has no field {name!r}; it has {sorted(fields)}.")
        arguments[name] = _argument(f"{use}.{name}", hints[name], given)
    missing = [name for name in required(use) if name not in arguments]
    if missing:
        raise SpecError(f"{use} needs the fields {missing}; it has {sorted(fields)}.")
    made: Method = cls(**arguments)
    return made


def method_class(use: str) -> type:
    """The method class at an address; SpecError where the class is not a method."""
    cls = address.resolve(use)
    if not _is_method_class(cls):
        raise SpecError(f"{use} is not a method: it must be a frozen dataclass whose 'kind' is one of {list(KINDS)}.")
    return cls


def to_json(method: Method) -> dict[str, Json]:
    """The JSON object of a method, every field written out. ``build(to_json(m)) == m``."""
    found: dict[str, Json] = {"use": address_of(type(method))}
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        found[field.name] = _value_json(getattr(method, field.name))
    return found


def resolved(value: Mapping[str, Any]) -> dict[str, Json]:
    """A method's JSON with every default filled in."""
    return to_json(build(value))


@cache
def _defaults(use: str) -> tuple[tuple[str, Json], ...]:
    cls = method_class(use)
    found = []
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            found.append((field.name, _value_json(field.default)))
        elif field.default_factory is not dataclasses.MISSING:
            found.append((field.name, _value_json(field.default_factory())))
    return tuple(found)


def defaults(use: str) -> dict[str, Json]:
    """The JSON defaults of a method's fields, by name."""
    return dict(_defaults(use))


def nested(method: Method) -> Iterator[Method]:
    """The methods inside a method, depth first (a stage's objectives, hooks, augmenters, sampler, optimizer)."""
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        value = getattr(method, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if is_method(item):
                yield item
                yield from nested(item)


def assets_of(method: Method) -> dict[str, str]:
    """Names of the pretrained models that a method and those inside it read beside the networks: name to kind."""
    found = {}
    for each in (method, *nested(method)):
        if isinstance(each, NeedsAssets):
            named = {str(getattr(each, name)): kind for name, kind in each.assets.items()}
            found.update({name: kind for name, kind in named.items() if name})
    return found


def is_method(value: object) -> bool:
    """Whether a value is a method object."""
    return dataclasses.is_dataclass(value) and getattr(value, "kind", None) in KINDS


def address_of(cls: type) -> str:
    """The address that names a method class. Raises SpecError for a class that no address reaches."""
    module = cls.__module__
    if module.startswith(address.GROUP + "."):
        return f"{module.split('.')[2]}:{cls.__name__}"
    for name in address.module_names():
        found = sys.modules.get(module)
        if found is not None and address.find_module(name) is found:
            return f"{name}:{cls.__name__}"
    points = [f"{p.name} = {p.value}" for p in entry_points(group=address.GROUP)]
    raise SpecError(f"no address names {module}.{cls.__name__}; entry points: {points or 'none'}.")


def required(use: str) -> tuple[str, ...]:
    """Names of a method's fields that have no default."""
    fields = dataclasses.fields(method_class(use))
    return tuple(field.name for field in fields if not _has_default(field))


def describe_methods() -> list[dict[str, Json]]:
    """Every method found: ``{use, kind, source, fields}``, sorted by kind and address.

    ``fields`` maps names to defaults (``None`` with ``"required": true`` where there is none).
    """
    found = []
    for cls in all_methods():
        use = address_of(cls)
        known = defaults(use)
        fields = {
            field.name: {"default": known[field.name]} if field.name in known else {"required": True}
            for field in dataclasses.fields(cls)
        }
        found.append({"use": use, "kind": cls.kind, "source": cls.source, "fields": fields})  # type: ignore[attr-defined]
    return sorted(found, key=lambda row: (KINDS.index(row["kind"]), row["use"]))


def all_methods() -> list[type]:
    """Every public method class of every module that an address may start with."""
    found: list[type] = []
    for name in address.module_names():
        module = address.find_module(name)
        public = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
        for attribute in public:
            cls = getattr(module, attribute)
            if isinstance(cls, type) and _is_of(cls, module) and _is_method_class(cls):
                found.append(cls)
    return found


def _is_of(cls: type, module: types.ModuleType) -> bool:
    """Whether a class is this module's own (or its package's), not one that it imported."""
    return cls.__module__.split(".")[:3] == module.__name__.split(".")[:3]


def _is_method_class(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and getattr(cls, "kind", None) in KINDS


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _value_json(value: Any) -> Json:
    if is_method(value):
        return to_json(value)
    if isinstance(value, (tuple, list)):
        return [_value_json(item) for item in value]
    return value


def _argument(where: str, hint: Any, given: Any) -> Any:
    """A field's value from JSON, checked against its annotation."""
    if isinstance(given, Mapping) and "use" in given:
        return build(given)
    if isinstance(given, (list, tuple)):
        inner = next(iter(get_args(hint)), Any)
        return tuple(_argument(where, inner, item) for item in given)
    if not _fits(hint, given):
        raise SpecError(f"{where} must be {_spelled(hint)}, but got {given!r:.200}.")
    return float(given) if hint is float else given


def _fits(hint: Any, given: Any) -> bool:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(option, given) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return given in get_args(hint)
    if hint is type(None):
        return given is None
    if hint is float:
        # JSON has whole numbers that no float holds.
        return isinstance(given, float) or (_fits(int, given) and abs(given) <= sys.float_info.max)
    if hint is int:
        return isinstance(given, int) and not isinstance(given, bool)
    if hint in _PLAIN:
        return isinstance(given, hint)
    return hint is Any


def _spelled(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(hint))
    if get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_spelled(option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return "a list"
    if hint in _PLAIN:
        return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[hint]
    return "nothing (null)" if hint is type(None) else "a method with a 'use' address"
