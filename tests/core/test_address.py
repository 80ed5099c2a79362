"""Addresses: the three places that a method may come from, and the errors that say what exists."""

import sys
from pathlib import Path

import pytest

from autokd.core import address
from autokd.core.errors import SpecError, UsageError

METHOD_FILE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    version = 3
"""


@pytest.fixture
def method_file(tmp_path: Path):
    path = tmp_path / "house_methods.py"
    path.write_text(METHOD_FILE)
    address.load_files([path])
    yield path
    sys.modules.pop("autokd_methods_file_house_methods")


def test_a_users_file_is_addressed_by_its_stem(method_file: Path) -> None:
    assert address.resolve("house_methods:Mine").__name__ == "Mine"
    assert "house_methods" in address.module_names()


def test_the_version_of_a_users_method_follows_its_text(method_file: Path) -> None:
    cls = address.resolve("house_methods:Mine")
    before = address.source_version(cls)
    method_file.write_text(METHOD_FILE + "# another text\n")
    assert before.startswith("3+")
    assert address.source_version(cls) != before


def test_own_methods_are_found() -> None:
    assert address.resolve("basics:Distil").__name__ == "Distil"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("basics", "module:Class"),
        ("basics:", "module:Class"),
        ("basicss:Distil", "Did you mean 'basics'"),
        ("basics:Distill", "Did you mean 'Distil'"),
        ("basics:_hidden", "unknown class"),
        ("../x:Y", "one Python name"),
        ("os.path:join", "one Python name"),
    ],
)
def test_unknown_addresses_name_what_exists(use: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        address.resolve(use)


def test_a_missing_or_broken_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must exist"):
        address.load_files([tmp_path / "none.py"])
    broken = tmp_path / "broken_methods.py"
    broken.write_text("import nothing_of_this_name\n")
    with pytest.raises(UsageError, match="nothing_of_this_name"):
        address.load_files([broken])
    assert "autokd_methods_file_broken_methods" not in sys.modules
