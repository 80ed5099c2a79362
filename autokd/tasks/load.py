"""From the name of a data set to its task: GLUE names, folders of text, local files, and the embedded ``pydocs``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autokd.core.errors import DataError, UsageError, unknown
from autokd.core.hub import hub_answers, is_offline
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.tasks import pydocs
from autokd.tasks.files import SUFFIXES, is_folder, read_file, read_folder
from autokd.tasks.glue import GLUE, GlueTask, find_folder, find_glue, from_folder, from_hub
from autokd.tasks.splits import Source, make_task

DATA_VARIABLE = "AUTOKD_DATA"


def load_task(source: DataSource, seed: int) -> Task:
    """The task that ``source`` names.

    A name is, in this order: a csv or tsv file (also below the data folder), ``pydocs``, one of GLUE's names, a folder
    with train, validation and test files (a path, also below the data folder or its ``text``). The data folder is
    ``source.data_dir``, else the environment's ``AUTOKD_DATA``. GLUE is read from the data folder where that has the
    task, else from the hub. ``seed`` decides what is carved where a split is missing. Raises UsageError for a name,
    column or metric that does not exist, DataError for data that are missing or broken.
    """
    return make_task(_find(source, _roots(source)), seed, source.metric)


def _find(source: DataSource, roots: Sequence[Path]) -> Source:
    name = source.name
    if Path(name).suffix.lower() in SUFFIXES:
        return read_file(_file(name, roots), source)
    glue = find_glue(name)
    if name == pydocs.NAME or glue is not None:
        _refuse_columns(source)
        return pydocs.read() if glue is None else _glue(glue, roots)
    for folder in (Path(name), *(root / name for root in roots), *(root / "text" / name for root in roots)):
        if is_folder(folder):
            return read_folder(folder, source)
    raise UsageError(unknown("data set", name, [pydocs.NAME, *GLUE, *_text_names(roots), "FILE.csv", "FILE.tsv"]))


def _roots(source: DataSource) -> tuple[Path, ...]:
    folder = source.data_dir or os.environ.get(DATA_VARIABLE)
    if not folder:
        return ()
    if not Path(folder).is_dir():
        raise UsageError(f"the data folder must exist, but there is none at {folder!r}.")
    return (Path(folder),)


def _file(name: str, roots: Sequence[Path]) -> Path:
    places = [Path(name), *(root / name for root in roots)]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UsageError(f"a data file must exist, but there is none at {' or '.join(map(str, places))}.")
    return found


def _refuse_columns(source: DataSource) -> None:
    named = [name for name in (source.text_column, source.text_pair_column, source.label_column) if name]
    if named:
        raise UsageError(f"columns can be named for files only, but {source.name!r} was given {', '.join(named)}.")


def _glue(task: GlueTask, roots: Sequence[Path]) -> Source:
    folder = find_folder(task, roots)
    if folder is not None:
        return from_folder(task, folder)
    # Without a network the library still reads its cache, quickly, but only when it is told that there is none.
    if is_offline() or hub_answers():
        return from_hub(task)
    unset = f"neither --data-dir nor {DATA_VARIABLE} is set"
    where = f"{str(roots[0])!r} has no folder {task.folder}" if roots else unset
    raise DataError(f"{task.name} comes from a GLUE folder or the hub, but {where} and the hub does not answer.")


def _text_names(roots: Sequence[Path]) -> list[str]:
    folders = [path for root in roots if (root / "text").is_dir() for path in (root / "text").iterdir()]
    return [path.name for path in folders if is_folder(path)]
