"""Where a study lives: the storage that a user named, and the folder of files beside it."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autokd.core.errors import StorageError, UsageError

DEFAULT_STORAGE = "sqlite:///studies/autokd.db"
# Up to the last @ before the next URL: passwords may hold spaces, slashes and @ of their own.
_PASSWORD = re.compile(r"(?P<before>\w[\w+.-]*://[^:/?#@]*:)(?:(?!\w://).)*@")
FOLDERS = ("studies", "tasks", "models", "cache")  # what lies in the folder of files
_QUERY_PASSWORD = re.compile(r"(?i)(?P<before>password=)[^&\s]+")


@dataclass(frozen=True)
class Location:
    """A storage: an SQLite file, a journal file, or a database server.

    ``path`` is the file of the first two. ``url`` is what Optuna is given for SQLite and servers.
    """

    kind: Literal["sqlite", "journal", "server"]
    url: str
    path: Path | None = None

    @staticmethod
    def parse(storage: str) -> Location:
        """Read ``sqlite:///FILE``, ``journal:///FILE``, ``postgresql://...`` or a bare file name.

        A bare name is a journal where it ends in ``.journal`` or ``.log`` and SQLite where it ends in ``.db``,
        ``.sqlite`` or ``.sqlite3``. As in SQLAlchemy, three slashes begin a relative path and four an absolute one.
        Raises UsageError for anything else.
        """
        scheme, _, rest = storage.partition("://")
        if not rest:
            return _bare(storage)
        if scheme == "journal":
            return Location("journal", storage, _path(storage, rest))
        if scheme.partition("+")[0] == "sqlite":
            path = _path(storage, rest.partition("?")[0])
            return Location("sqlite", storage, path)
        if scheme.partition("+")[0] in ("postgresql", "postgres"):
            return Location("server", "postgresql" + storage.removeprefix(scheme.partition("+")[0]))
        raise UsageError(_forms(storage))


def files_root(storage: str, artifacts: str | Path | None = None) -> Path:
    """The folder of checkpoints and caches: ``artifacts``, else ``<file>.files`` beside the storage's own file.

    Raises UsageError for a server without ``artifacts``: nothing on disk belongs to it.
    """
    if artifacts is not None:
        return Path(artifacts).absolute()
    path = Location.parse(storage).path
    if path is None:
        raise UsageError(f"a storage on a server needs a folder for its files (artifacts): {redacted(storage)!r}.")
    return path.absolute().with_name(path.name + ".files")


def kept_artifacts(storage: str, artifacts: str | Path) -> str:
    """How a study remembers the folder that was named for its files: relative to the folder of the storage's own file
    where it lies in that, so that both can be moved."""
    folder, file = Path(artifacts).absolute(), Location.parse(storage).path
    home = None if file is None else file.absolute().parent
    return str(folder.relative_to(home)) if home is not None and folder.is_relative_to(home) else str(folder)


def found_artifacts(storage: str, kept: str) -> str:
    """The folder that ``kept_artifacts`` wrote down, empty where none was named."""
    file = Location.parse(storage).path
    return str(file.absolute().parent / kept) if kept and file is not None else kept


def make_root(storage: str, artifacts: str | Path | None = None) -> Path:
    """``files_root``, made where it was missing. Raises StorageError where nothing can be written there."""
    root = files_root(storage, artifacts)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise StorageError(
            f"a study's files need a folder that can be written to, but {str(root)!r} is none: {error.strerror} "
            "(--storage and --artifacts say where it is)."
        ) from error
    return root


def redacted(text: str) -> str:
    """The text without the passwords of the URLs in it."""
    return _QUERY_PASSWORD.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***@", text))


def _bare(storage: str) -> Location:
    path = Path(storage)
    if path.suffix in (".journal", ".log"):
        return Location("journal", storage, path)
    if path.suffix in (".db", ".sqlite", ".sqlite3"):
        return Location("sqlite", f"sqlite:///{storage}", path)
    raise UsageError(_forms(storage))


def _path(storage: str, rest: str) -> Path:
    """The file in what follows ``scheme://``, which begins with the slash that ends the empty host."""
    if not rest.startswith("/") or len(rest) == 1 or rest == "/:memory:":
        raise UsageError(_forms(storage))
    return Path(rest[1:])


def _forms(storage: str) -> str:
    return (
        f"a storage is sqlite:///FILE, journal:///FILE, postgresql://USER@HOST/NAME, or a file that ends in .db or "
        f".journal, but got {redacted(storage)!r}."
    )
