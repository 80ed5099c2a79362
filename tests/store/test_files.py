"""Storages are named in few ways, files lie beside them, and no message holds a password."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from autokd.core.errors import StorageError, UsageError
from autokd.store import StudyStore, files_root, redacted
from autokd.store.backend import cut_torn_line
from autokd.store.files import Location
from autokd.store.lock import study_lock


@pytest.mark.parametrize(
    ("storage", "kind", "path"),
    [
        ("sqlite:///studies/a.db", "sqlite", "studies/a.db"),
        ("sqlite:////data/a.db?timeout=9", "sqlite", "/data/a.db"),
        ("journal:///runs/a.journal", "journal", "runs/a.journal"),
        ("journal:////data/a", "journal", "/data/a"),
        ("runs/a.journal", "journal", "runs/a.journal"),
        ("runs/a.log", "journal", "runs/a.log"),
        ("a.db", "sqlite", "a.db"),
        ("postgresql://u:p@host/db", "server", None),
        ("postgresql+psycopg2://u@host/db", "server", None),
    ],
)
def test_forms_of_storages(storage: str, kind: str, path: str | None) -> None:
    found = Location.parse(storage)
    assert found.kind == kind
    assert found.path == (None if path is None else Path(path))


@pytest.mark.parametrize(
    "storage", ["", "studies", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "journal://x"]
)
def test_other_forms_are_refused_without_the_password(storage: str) -> None:
    with pytest.raises(UsageError, match="a storage is sqlite:///FILE") as caught:
        Location.parse(storage)
    assert "secret" not in str(caught.value)


def test_files_lie_beside_the_storage(tmp_path: Path) -> None:
    assert files_root(f"sqlite:///{tmp_path}/a.db") == tmp_path / "a.db.files"
    assert files_root("runs/a.journal") == Path.cwd() / "runs" / "a.journal.files"
    assert files_root("postgresql://h/d", tmp_path) == tmp_path
    with pytest.raises(UsageError, match=r"needs a folder.*://u:\*\*\*@h/d"):
        files_root("postgresql://u:secret@h/d")


def test_passwords_are_redacted() -> None:
    assert (
        redacted("cannot open postgresql://me:s3/cr-et@db:5432/x now")
        == "cannot open postgresql://me:***@db:5432/x now"
    )
    assert redacted("postgresql://db/x?user=me&password=secret&a=1") == "postgresql://db/x?user=me&password=***&a=1"
    assert redacted("postgresql://me:my secret p@ss@db/x") == "postgresql://me:***@db/x"
    assert redacted("postgresql://a b:secret@db/x") == "postgresql://a b:***@db/x"
    assert redacted("a://u:p@h/x and b://v:q@h/y") == "a://u:***@h/x and b://v:***@h/y"
    assert redacted("sqlite:///a.db and http://host:80/x") == "sqlite:///a.db and http://host:80/x"


def test_a_server_that_cannot_be_reached_is_one_clean_line() -> None:
    with pytest.raises(StorageError) as caught:
        StudyStore.open("postgresql://me:secret@127.0.0.1:1/none", "first")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_missing_driver_says_what_to_install() -> None:
    with pytest.raises(StorageError, match=r"pip install psycopg\[binary\]"):
        StudyStore.open("postgresql+pg8000://me@127.0.0.1:1/none", "first")


def test_a_file_that_is_no_storage(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database, not at all" * 9)
    with pytest.raises(StorageError, match="failed"):
        StudyStore.open(str(tmp_path / "a.db"), "first")


@pytest.mark.parametrize(
    ("content", "kept"),
    [(b"", b""), (b"one\ntwo\n", b"one\ntwo\n"), (b"one\ntw", b"one\n"), (b"tw", b""), (b"a\n" + b"x" * 9000, b"a\n")],
)
def test_a_torn_line_is_cut(tmp_path: Path, content: bytes, kept: bytes) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(content)
    cut_torn_line(path)
    assert path.read_bytes() == kept


HOLDER = """
import sys, time
from pathlib import Path
from autokd.store.lock import study_lock
with study_lock(Path(sys.argv[1]), "first"):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_one_driver_at_a_time_and_the_dead_hold_nothing(
    tmp_path: Path, process: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = process(HOLDER, str(tmp_path))
    with pytest.raises(StorageError, match=f"is being run by process {holder.pid} on"), study_lock(tmp_path, "first"):
        pass
    with study_lock(tmp_path, "second"):
        pass
    holder.kill()
    holder.wait()
    with study_lock(tmp_path, "first"):
        pass
