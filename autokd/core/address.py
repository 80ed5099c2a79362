"""From an address such as ``"ted:LearnFilters"`` to the class it names. No registry: a name is a place.

Three places are looked in, in this order: ``autokd.methods.<module>``, files that the user named
(``--methods FILE``, addressed by the file's stem), and packages that announce a module through the entry-point
group ``autokd.methods`` (addressed by the entry point's name).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from autokd.core.errors import SpecError, UsageError, unknown

GROUP = "autokd.methods"
_FILE_PREFIX = "autokd_methods_file_"


def load_files(paths: Iterable[Path]) -> None:
    """Import the user's method files, once each, so that addresses can name them by their stems.

    Raises UsageError for a missing file, and for a file that fails to import (with its own error).
    """
    for path in paths:
        name = _FILE_PREFIX + path.stem
        if not path.is_file():
            raise UsageError(f"a methods file must exist, but there is none at {str(path)!r}.")
        if importlib.util.find_spec(f"{GROUP}.{path.stem}") is not None:
            raise UsageError(f"a methods file needs a name of its own, but {path.stem!r} is a module of autokd's.")
        if name in sys.modules:
            loaded = Path(sys.modules[name].__file__ or "").resolve()
            if loaded != path.resolve():
                raise UsageError(f"methods files need different names, but got {str(loaded)!r} and {str(path)!r}.")
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"a methods file must be Python source, but got {str(path)!r}.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UsageError(f"the methods file {str(path)!r} cannot be imported: {error!r}") from error


def module_names() -> list[str]:
    """Every module name that an address may start with, from all three places."""
    package = importlib.import_module(GROUP)
    own = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
    files = [name.removeprefix(_FILE_PREFIX) for name in sys.modules if name.startswith(_FILE_PREFIX)]
    return sorted({*own, *files, *(point.name for point in entry_points(group=GROUP))})


def find_module(name: str) -> ModuleType:
    """The module that the first half of an address names. Raises SpecError for an unknown one."""
    if not name.isidentifier():
        raise SpecError(f"the module of an address is one Python name, but got {name!r}.")
    if importlib.util.find_spec(f"{GROUP}.{name}") is not None:
        return importlib.import_module(f"{GROUP}.{name}")
    if _FILE_PREFIX + name in sys.modules:
        return sys.modules[_FILE_PREFIX + name]
    for point in entry_points(group=GROUP):
        if point.name == name:
            loaded = point.load()
            if not isinstance(loaded, ModuleType):
                raise SpecError(f"the entry point {name!r} of {GROUP!r} must name a module, but it names {loaded!r}.")
            return loaded
    raise SpecError(unknown("method module", name, module_names()))


def resolve(use: str) -> type:
    """The class at an address. Raises SpecError where the form is wrong or nothing is there."""
    name, colon, class_name = use.partition(":")
    if not colon or not class_name:
        raise SpecError(f"an address has the form 'module:Class', but got {use!r}.")
    module = find_module(name)
    found = getattr(module, class_name, None)
    if class_name.startswith("_") or not isinstance(found, type):
        classes = [n for n in getattr(module, "__all__", []) if isinstance(getattr(module, n, None), type)]
        raise SpecError(unknown(f"class in {name!r}", class_name, classes))
    return found


def source_version(cls: type) -> str:
    """What a cache key needs to know of a method's code: its ``version`` field, for a user's file its hash too."""
    version = str(getattr(cls, "version", 1))
    module = sys.modules.get(cls.__module__)
    if module is not None and module.__name__.startswith(_FILE_PREFIX) and module.__file__:
        return version + "+" + hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()[:20]
    return version
