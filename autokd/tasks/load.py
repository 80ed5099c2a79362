"""From the name of a data set to its task: files, folders, GLUE names, the hub, and the embedded ``pydocs``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autokd.core.errors import AutokdError, DataError, UsageError, unknown
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.tasks import csbm, pydocs
from autokd.tasks.files import is_folder, read_file, read_folder
from autokd.tasks.glue import GLUE, GlueTask, find_folder, find_glue, from_folder, from_hub
from autokd.tasks.graphs import SUFFIX as GRAPH_SUFFIX
from autokd.tasks.graphs import read_graph
from autokd.tasks.hub import has_owner, hub_hint, is_hub_id, is_saved, read_hub, read_saved
from autokd.tasks.splits import Source, make_task
from autokd.tasks.tables import SUFFIXES
from autokd.tasks.unlabelled import with_unlabelled

DATA_VARIABLE = "AUTOKD_DATA"
_OTHERS = (
    csbm.NAME,
    f"FILE{GRAPH_SUFFIX}",
    "FILE.csv",
    "FILE.tsv",
    "FILE.jsonl",
    "FILE.parquet",
    "FOLDER",
    "OWNER/NAME",
)


def load_task(source: DataSource, seed: int) -> Task:
    """The task that ``source`` names.

    A name is, in this order: a graph's npz file or ``csbm``, a csv, tsv, JSON lines or parquet file, a folder with
    train, validation and test files or one that ``datasets`` saved (each of them also below the data folder, folders
    below its ``text`` too), ``pydocs``, one of GLUE's names, the id of a data set on the hub (``OWNER/NAME``). The data
    folder is ``source.data_dir``, else the environment's ``AUTOKD_DATA``. GLUE is read from the data folder where that
    has the task, else from the hub.
    ``seed`` decides what is carved where a split is missing. Raises UsageError for a name, column or metric that does
    not exist, DataError for data that are missing or broken.
    """
    roots = _roots(source)
    if is_graph(source):
        return _graph_task(source, roots)
    found = _find(source, roots)
    if "train" not in found.splits:
        there = ", ".join(found.splits) or "none"
        raise DataError(f"what is learnt from needs a split 'train', but {source.name!r} has {there}.")
    task = make_task(found, seed, source.metric)
    if source.unlabelled is None:
        return task
    return with_unlabelled(task, _file(source.unlabelled, roots), _text_columns(source, found))


def find_source(source: DataSource) -> Source:
    """The labelled texts that ``source`` names, in the splits that it has itself. Raises as ``load_task``."""
    return _find(source, _roots(source))


def is_graph(source: DataSource) -> bool:
    """Whether ``source`` names a graph."""
    return Path(source.name).suffix.lower() == GRAPH_SUFFIX or source.name.partition(":")[0] == csbm.NAME


def _graph_task(source: DataSource, roots: Sequence[Path]) -> Task:
    """A graph's task: of a file, or of the block model."""
    given = {"subset": source.subset, "unlabelled": source.unlabelled}
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise UsageError(f"a graph brings its unlabelled nodes along, but {source.name!r} was given {named[0]}.")
    _refuse_columns(source)
    if source.name.partition(":")[0] == csbm.NAME:
        return csbm.make_csbm(csbm.parse(source.name), source.name, source.metric)
    return read_graph(_file(source.name, roots), source.metric)


def _find(source: DataSource, roots: Sequence[Path]) -> Source:
    name, is_file = source.name, Path(source.name).suffix.lower() in SUFFIXES
    if is_hub_id(name) and not is_file and not any(path.exists() for path in _places(name, roots)):
        return read_hub(source)
    if source.subset is not None:
        raise UsageError(f"subsets are for data sets of the hub, but {name!r} is none of them. {hub_hint(name)}")
    if is_file:
        return read_file(_file(name, roots), source)
    glue = find_glue(name)
    if name == pydocs.NAME or glue is not None:
        if is_folder(Path(name)) or is_saved(Path(name)):
            known = "the embedded data set" if glue is None else "GLUE's"
            raise UsageError(f"{name!r} is {known}, and a folder here: write {f'./{name}'!r} for the folder.")
        _refuse_columns(source)
        return pydocs.read() if glue is None else _glue(glue, roots)
    for folder in _places(name, roots):
        if is_folder(folder):
            return read_folder(folder, source)
        if is_saved(folder):
            return read_saved(folder, source)
    there = next((folder for folder in _places(name, roots) if folder.is_dir()), None)
    if there is not None:
        kinds = ", ".join(SUFFIXES)
        raise DataError(f"a data set's folder needs a file 'train' ({kinds}), but {str(there)!r} has {_inside(there)}.")
    known = "" if has_owner(name) else unknown("data set", name, [pydocs.NAME, *GLUE, *_text_names(roots), *_OTHERS])
    raise UsageError(f"{known} {hub_hint(name)}".strip())


def _places(name: str, roots: Sequence[Path]) -> tuple[Path, ...]:
    return (Path(name), *(root / name for root in roots), *(root / "text" / name for root in roots))


def _inside(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") or "nothing"


def _roots(source: DataSource) -> tuple[Path, ...]:
    folder = source.data_dir or os.environ.get(DATA_VARIABLE)
    if not folder:
        return ()
    if not Path(folder).is_dir():
        raise UsageError(f"the data folder must exist, but there is none at {folder!r}.")
    return (Path(folder),)


def _file(name: str, roots: Sequence[Path]) -> Path:
    places = list(dict.fromkeys([Path(name), *(root / name for root in roots)]))  # an absolute name has one place
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UsageError(f"a data file must exist, but there is none at {' or '.join(map(str, places))}.")
    return found


def _text_columns(source: DataSource, found: Source) -> list[tuple[str, ...]]:
    """Names that the columns of unlabelled texts may have: the user's, those of the labelled texts."""
    named = tuple(name for name in (source.text_column, source.text_pair_column) if name is not None)
    return [names for names in (named, found.columns) if names]


def _refuse_columns(source: DataSource) -> None:
    named = [name for name in (source.text_column, source.text_pair_column, source.label_column) if name]
    if named:
        raise UsageError(f"columns can be named for files only, but {source.name!r} was given {', '.join(named)}.")


def _glue(task: GlueTask, roots: Sequence[Path]) -> Source:
    folder = find_folder(task, roots)
    if folder is not None:
        return from_folder(task, folder)
    try:
        return from_hub(task)
    except AutokdError as error:
        unset = f"neither --data-dir nor {DATA_VARIABLE} is set"
        where = f"{str(roots[0])!r} has no folder {task.folder}" if roots else unset
        raise DataError(f"{task.name} comes from a GLUE folder or the hub, but {where} and {error}") from error


def _text_names(roots: Sequence[Path]) -> list[str]:
    folders = [path for root in roots if (root / "text").is_dir() for path in (root / "text").iterdir()]
    return [path.name for path in folders if is_folder(path)]
