"""``pydocs``: real text that every machine has. Which area of Python's standard library does a sentence document?

Made on the spot from the docstrings of the installed library's sources, which are parsed, never imported. Sentences
are balanced over the areas, module names are masked, sentences that nearly repeat another one are dropped, and those
of one docstring stay in one split. For a given Python the rows are always the same.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autokd.core.errors import DataError
from autokd.tasks.near_duplicates import first_of_each
from autokd.tasks.splits import Labelled, Source

NAME = "pydocs"

# Modules and packages of each area; those that an installation lacks are passed over. A leading underscore marks
# where the Python source of a module lies that is otherwise compiled.
AREAS: Mapping[str, str] = {
    "concurrency": """_threading_local asyncio concurrent multiprocessing queue sched selectors signal subprocess
        threading""",
    "files": """_pyio bz2 compression dbm filecmp fileinput fnmatch genericpath glob gzip io lzma netrc ntpath os
        pathlib pickle posixpath shelve shutil stat tarfile tempfile zipapp zipfile zipimport""",
    "graphics": "colorsys curses tkinter turtle",
    "internet": """base64 email ftplib http imaplib ipaddress mailbox mimetypes nntplib poplib quopri smtplib
        socket socketserver ssl telnetlib urllib webbrowser wsgiref xmlrpc""",
    "language": """_py_abc abc ast code codeop compileall dataclasses dis enum importlib inspect keyword modulefinder
        opcode pkgutil py_compile pyclbr runpy symtable tabnanny token tokenize types typing""",
    "numbers": """_pydatetime _pydecimal _pylong _strptime bisect calendar datetime decimal fractions graphlib heapq
        numbers random statistics zoneinfo""",
    "testing": """bdb cProfile doctest faulthandler pdb profile pstats timeit trace traceback tracemalloc unittest
        warnings""",
    "text": """_markupbase codecs configparser csv difflib encodings gettext html json locale plistlib pprint re
        sre_compile sre_parse string stringprep textwrap tomllib xml""",
}
ROWS = {"test": 80, "valid": 50, "train": 280}  # of each area
LEAST_AREAS = 2
LEAST_OVERLAP = 0.5  # share of words in common from which on two sentences nearly repeat each other
MOST_OF_ONE_DOCSTRING = 5
MASK = "NAME"
_WORDS = range(9, 41)  # how many words a sentence may have

# Every module's name, with what is named inside of it; the module ``this`` is spared for the sake of the pronoun.
_NAMES = {*sys.stdlib_module_names, *(name for names in AREAS.values() for name in names.split())} - {"this"}
_DOTTED = re.compile(r"(?<![\w.])([^\W\d]\w*)(?:\.\w+)*")
_BLOCKS = ("body", "orelse", "handlers", "finalbody")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_MARKUP = re.compile(r":[a-z]+:(?=`)|[`*|]+")
_NOT_PROSE = re.compile(r">>>|\.\.\.|[=_~#$@\\<>{}\[\]-]{3}|copyright|licen[cs]e|https?:", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """A masked sentence, the area it documents, and a hash that names the docstring it comes from."""

    text: str
    area: str
    docstring: str

    @property
    def order(self) -> tuple[str, str]:
        """Sorts sentences by docstring in an order that is random and always the same."""
        return self.docstring, hashlib.sha256(self.text.encode()).hexdigest()


def read() -> Source:
    """The data set, with its three splits. Raises DataError where the library's sources are not installed."""
    return _source(Path(sysconfig.get_path("stdlib")))


@cache
def _source(library: Path) -> Source:
    found = [sentence for area in AREAS for sentence in _sentences(library, area)]
    found.sort(key=lambda sentence: sentence.order)
    kept = [found[i] for i in first_of_each([sentence.text for sentence in found], LEAST_OVERLAP)]
    by_area = {area: [sentence for sentence in kept if sentence.area == area] for area in AREAS}
    parts = {area: part for area, rows in by_area.items() if (part := _parts(rows))}
    if len(parts) < LEAST_AREAS:
        counts = ", ".join(f"{area} {len(rows)}" for area, rows in by_area.items())
        rule = f"{NAME} needs {sum(ROWS.values())} sentences in {LEAST_AREAS} areas"
        raise DataError(f"{rule}, but the library's sources in {str(library)!r} gave: {counts}.")
    missing = [area for area in AREAS if area not in parts]
    notes = [f"too little is installed of {', '.join(missing)}; left out."] if missing else []
    splits = {name: _labelled([row for part in parts.values() for row in part[name]]) for name in ROWS}
    return Source(NAME, splits, "accuracy", "classification", tuple(notes))


def _labelled(rows: Sequence[Sentence]) -> Labelled:
    ordered = sorted(rows, key=lambda sentence: sentence.order)
    return Labelled(tuple(row.text for row in ordered), None, tuple(row.area for row in ordered))


def _parts(rows: Sequence[Sentence]) -> dict[str, list[Sentence]] | None:
    """One area's rows of each split, docstring by docstring until each is full; None where they do not suffice."""
    docstrings: dict[str, list[Sentence]] = defaultdict(list)
    for row in rows:
        docstrings[row.docstring].append(row)
    parts: dict[str, list[Sentence]] = {}
    left = iter(docstrings.values())
    for name, size in ROWS.items():
        part: list[Sentence] = []
        for group in left:
            part += group[:MOST_OF_ONE_DOCSTRING]
            if len(part) >= size:
                break
        if len(part) < size:
            return None
        parts[name] = part[:size]
    return parts


def _sentences(library: Path, area: str) -> Iterator[Sentence]:
    """All sentences of one area, in the order of its files."""
    for module in AREAS[area].split():
        single, package = library / f"{module}.py", library / module
        files = [single] if single.is_file() else sorted(package.rglob("*.py")) if package.is_dir() else []
        for file in files:
            if not {"test", "tests", "_test"} & set(file.relative_to(library).parts):
                for docstring in _docstrings(file):
                    name = hashlib.sha256(docstring.encode(errors="replace")).hexdigest()
                    yield from (Sentence(text, area, name) for text in sentences_of(docstring))


def _docstrings(file: Path) -> Iterator[str]:
    """The docstrings of one source file; none where this Python cannot parse it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    nodes: list[ast.AST] = [tree]
    while nodes:  # statements only: expressions hold no docstrings, and are most of a tree
        node = nodes.pop()
        nodes += [inner for name in _BLOCKS for inner in getattr(node, name, ())]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring


def sentences_of(docstring: str) -> list[str]:
    """The prose of a docstring, masked, in pieces of 9 to 40 words: one sentence, or a short one with the next ones.

    Examples, tables and signatures are passed over.
    """
    found, piece = [], ""
    for paragraph in re.split(r"\n\s*\n", docstring):
        if paragraph.startswith((" ", "\t")) or _NOT_PROSE.search(paragraph):
            continue
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
            text = mask(_MARKUP.sub("", sentence)).strip()
            piece = f"{piece} {text}".strip() if _is_prose(text) else ""
            if len(piece.split()) in _WORDS:
                found.append(piece)
            if len(piece.split()) >= _WORDS.start:
                piece = ""
    return found


def mask(text: str) -> str:
    """Replace module names, as whole words in any case, by ``NAME``, and with them the dotted names they begin."""
    return _DOTTED.sub(lambda found: MASK if found[1].lower() in _NAMES else found[0], text)


def _is_prose(text: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in text)
    return bool(text) and text.isascii() and letters >= 0.85 * len(text) and text[-1] in ".!?:"
