"""One file that carries a study: a zip with a manifest of every member's size and SHA-256.

What is read from such a file is somebody else's: nothing of it is trusted before it was checked, nothing is unpickled,
and no member can be written outside of the folder that was named.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from autokd.core.canonical import Json
from autokd.core.disk import naming, usual_mode
from autokd.core.errors import StorageError, UsageError

FORMAT, SCHEMA = "autokd-study", 1
MANIFEST, STUDY = "manifest.json", "study.json"
MOST_FILES = 200_000
MOST_BYTES = 256 * 2**30
MOST_TEXT_BYTES = 2**30  # of the manifest and of the study's own text, which are read into memory
# Text, weights as safetensors, graphs as ONNX: nothing that runs when it is opened.
SUFFIXES = (".json", ".gz", ".safetensors", ".onnx", ".data", ".txt", ".model", ".md", ".jinja")
_NAME = re.compile(r"(?:trials|frozen)(?:/[\w][\w .+@=-]*)+", re.ASCII)
_LONGEST_NAME = 400
_BLOCK = 2**20
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_archive(output: Path, study: Mapping[str, Json], files: Iterable[tuple[str, Path]]) -> int:
    """Write a study's text and its files (member name, where it lies); the archive's size in bytes.

    Whole or not at all. Raises UsageError where ``output`` exists or its folder does not.
    """
    if output.exists():
        raise UsageError(f"an archive is a new file, but {str(output)!r} exists.")
    if not output.parent.is_dir():
        raise UsageError(f"an archive's folder must exist, but there is none at {str(output.parent)!r}.")
    with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as part:
        work = Path(part.name)
    try:
        listed: dict[str, Json] = {}
        with naming(output), zipfile.ZipFile(work, "w", allowZip64=True) as archive:
            listed[STUDY] = _add_text(archive, STUDY, study)
            for name, path in files:
                listed[name] = _add_file(archive, name, path)
            _add_text(archive, MANIFEST, {"format": FORMAT, "schema": SCHEMA, "files": listed})
        work.chmod(usual_mode())
        if output.exists():  # it came in the meantime
            raise UsageError(f"an archive is a new file, but {str(output)!r} exists.")
        work.replace(output)
    finally:
        work.unlink(missing_ok=True)
    return output.stat().st_size


def unpack(file: Path, folder: Path) -> dict[str, Any]:
    """Write an archive's files below ``folder``, each checked against its size and hash; the study's text as a value.

    Raises UsageError for a missing file, StorageError for one that is broken, unsafe, too large, or no archive of
    ours. What it has written until then is the caller's to remove.
    """
    if not file.is_file():
        raise UsageError(f"an archive must be a file that exists, but there is none at {str(file)!r}.")
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive)
            listed = _manifest(archive, members)
            _check_room(listed, folder)
            for name, facts in listed.items():
                if name != STUDY:
                    _extract(archive, name, facts, folder / name)
            return _json(_read(archive, STUDY, listed[STUDY]), STUDY)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise StorageError(
            f"{str(file)!r} is no archive that `autokd studies export` wrote, or not all of it: {error}."
        ) from error
    except StorageError as error:
        raise StorageError(f"the archive {str(file)!r} is refused: {error}") from error


def is_safe(name: str) -> bool:
    """Whether a member of this name may be written: below ``trials`` or ``frozen``, plain words, a known suffix."""
    parts = name.split("/")
    plain = _NAME.fullmatch(name) is not None and len(name) <= _LONGEST_NAME
    return plain and not any(part.endswith((".", " ")) for part in parts) and parts[-1].endswith(SUFFIXES)


def _add_text(archive: zipfile.ZipFile, name: str, value: Json) -> dict[str, Json]:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, text)
    return {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}


def _add_file(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, Json]:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED if path.suffix in (".json", ".txt", ".md") else zipfile.ZIP_STORED
    found, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
        while block := source.read(_BLOCK):
            found.update(block)
            size += len(block)
            target.write(block)
    return {"size": size, "sha256": found.hexdigest()}


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by name. Raises StorageError for anything that is not a plain file, once."""
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise StorageError(f"an archive holds at most {MOST_FILES:,} files, but it has {len(infos):,}.")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in (0, stat.S_IFREG):
            raise StorageError(f"an archive holds plain files only, but {info.filename!r} is none.")
        if info.orig_filename != info.filename:
            raise StorageError(f"the names in an archive are plain, but {info.orig_filename!r} is not.")
    found = {info.filename: info for info in infos}
    if len(found) < len(infos):
        raise StorageError("each file comes once in an archive, but some names come twice.")
    return found


def _manifest(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each member, as the manifest tells them. Raises StorageError where the two disagree."""
    if MANIFEST not in members or members[MANIFEST].file_size > MOST_TEXT_BYTES:
        raise StorageError(f"it has no {MANIFEST}, which every study's archive has.")
    with archive.open(MANIFEST) as stream:
        value = _json(stream.read(MOST_TEXT_BYTES), MANIFEST)
    if value.get("format") != FORMAT or value.get("schema") != SCHEMA:
        found = f"{value.get('format')!r} {value.get('schema')!r}"
        raise StorageError(f"this version of autokd reads archives of the form {FORMAT!r} {SCHEMA}, but it is {found}.")
    listed = _listed(value)
    if set(listed) != set(members) - {MANIFEST} or STUDY not in listed:
        raise StorageError("its manifest must name exactly the files that it holds, but does not.")
    unsafe = next((name for name in listed if name != STUDY and not is_safe(name)), None)
    if unsafe is not None:
        raise StorageError(f"its files must lie inside of it and be text or weights, but it has {unsafe!r}.")
    if any(listed[name][0] != members[name].file_size for name in listed):
        raise StorageError("its files must have the sizes that its manifest names, but do not.")
    return listed


def _listed(value: Mapping[str, Json]) -> dict[str, tuple[int, str]]:
    try:
        found = {str(name): (int(facts["size"]), str(facts["sha256"])) for name, facts in value["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"its {MANIFEST} must name a size and a SHA-256 for each file, but does not.") from error
    if any(size < 0 for size, _ in found.values()):
        raise StorageError(f"its {MANIFEST} names a size below zero.")
    return found


def _check_room(listed: Mapping[str, tuple[int, str]], folder: Path) -> None:
    total = sum(size for size, _ in listed.values())
    if total > MOST_BYTES:
        raise StorageError(f"an archive holds at most {MOST_BYTES / 2**30:.0f} GiB, but it has {total / 2**30:.0f}.")
    free = shutil.disk_usage(folder).free
    if total > free:
        needed = f"{total / 2**20:,.0f} MiB, but {free / 2**20:,.0f} MiB are free there"
        raise StorageError(f"{str(folder.parent)!r} must have room for its files: {needed}.")


def _extract(archive: zipfile.ZipFile, name: str, facts: tuple[int, str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, target.open("xb") as file:
        _copy(source, file, name, facts)


def _copy(source: IO[bytes], target: IO[bytes], name: str, facts: tuple[int, str]) -> None:
    """Copy what a member holds. Never writes more than its size, whatever it unpacks to."""
    size, expected = facts
    found, left = hashlib.sha256(), size
    while block := source.read(min(_BLOCK, left + 1)):
        left -= len(block)
        if left < 0:
            break
        found.update(block)
        target.write(block)
    if left != 0 or found.hexdigest() != expected:
        raise StorageError(f"its files must have the content that its manifest names, but {name!r} has not.")


def _read(archive: zipfile.ZipFile, name: str, facts: tuple[int, str]) -> bytes:
    if facts[0] > MOST_TEXT_BYTES:
        raise StorageError(f"{name} may have {MOST_TEXT_BYTES:,} bytes, but has {facts[0]:,}.")
    with archive.open(name) as stream, tempfile.TemporaryFile() as file:
        _copy(stream, file, name, facts)
        file.seek(0)
        return file.read()


def _json(text: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"its {name} must be JSON, but it is not: {error}.") from error
    if not isinstance(value, dict):
        raise StorageError(f"its {name} must hold one JSON object, but holds {type(value).__name__}.")
    return value
