"""Data sets of the Hugging Face hub and of its ``datasets`` library: any id, its cache, folders that it saved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from autokd.core.errors import AutokdError, DataError, UsageError
from autokd.core.hub import hub_answers, is_offline
from autokd.core.settings import DataSource
from autokd.tasks.arrow_files import dataset_columns
from autokd.tasks.columns import find_columns, read_splits
from autokd.tasks.splits import Source
from autokd.tasks.tables import Table

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SPLITS = {
    "train": ("train",),
    "valid": ("validation", "valid", "dev", "val", "validation_matched", "dev_matched"),
    "test": ("test", "test_matched"),
}
_MOST_OF_A_REASON = 300  # characters
# Names by which the hub's own data sets were known before each got an owner; its library takes these no more.
_OWNERS = {
    "ag_news": "fancyzhx",
    "amazon_polarity": "fancyzhx",
    "anli": "facebook",
    "banking77": "PolyAI",
    "clinc_oos": "clinc",
    "dbpedia_14": "fancyzhx",
    "emotion": "dair-ai",
    "financial_phrasebank": "takala",
    "glue": "nyu-mll",
    "go_emotions": "google-research-datasets",
    "imdb": "stanfordnlp",
    "multi_nli": "nyu-mll",
    "paws": "google-research-datasets",
    "rotten_tomatoes": "cornell-movie-review-data",
    "sms_spam": "ucirvine",
    "snli": "stanfordnlp",
    "super_glue": "aps",
    "trec": "CogComp",
    "tweet_eval": "cardiffnlp",
    "xnli": "facebook",
    "yelp_polarity": "fancyzhx",
    "yelp_review_full": "Yelp",
}


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of the hub's: ``OWNER/NAME``."""
    return _ID.fullmatch(name) is not None


def has_owner(name: str) -> bool:
    """Whether a name is that of a well-known data set of the hub without the owner that it got since."""
    return name in _OWNERS


def hub_hint(name: str) -> str:
    """What to write for a data set of the hub that is named without its owner; a sentence."""
    if not has_owner(name):
        return "A data set of the hub is named with its owner: OWNER/NAME."
    return f"A data set of the hub is named with its owner: write {f'{_OWNERS[name]}/{name}'!r} for {name!r}."


def is_saved(folder: Path) -> bool:
    """Whether ``datasets`` saved a data set into this folder, with or without splits."""
    whole = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return whole or (folder / "dataset_dict.json").is_file()


def read_saved(folder: Path, source: DataSource) -> Source:
    """Read what ``save_to_disk`` wrote. Raises DataError for a broken folder, UsageError for columns, as files do."""
    import datasets  # slow to import, and most data sets need none of it

    try:
        found = datasets.load_from_disk(str(folder), keep_in_memory=True)
    except Exception as error:  # its errors share no class
        raise DataError(f"a saved data set must be readable, but {str(folder)!r} is not: {_reason(error)}.") from error
    return _source(folder.name, found if isinstance(found, Mapping) else {"train": found}, source)


def read_hub(source: DataSource) -> Source:
    """Read the data set that ``source`` names, as ``load``; a split whose labels are kept secret is left out."""
    name = f"{source.name}/{source.subset}" if source.subset else source.name
    return _source(name, load(source.name, source.subset), source)


def load(name: str, subset: str | None) -> Mapping[str, Any]:
    """The splits of a data set on the hub, as ``datasets.Dataset``; a hub that does not answer is noticed in 5 s, and
    the library's cache read instead.

    Raises UsageError where the hub does not have it, DataError with the library's own reason where it cannot be read.
    """
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    reached = is_offline() or hub_answers()  # without a network the library waits for long, unless it is told
    datasets.logging.set_verbosity_error()
    try:
        with nullcontext() if reached else _told_offline(datasets.config):
            found: Mapping[str, Any] = datasets.load_dataset(name, *([subset] if subset else []))
        return found
    except DatasetNotFoundError as error:
        raise UsageError(f"{_reason(error)}, and there is no folder {name!r} here.") from error
    except Exception as error:  # its errors share no class: connection, cache, missing configuration, broken files
        if not reached and isinstance(error, ConnectionError):
            raise DataError(f"the hub does not answer and its cache does not have {name!r}.") from error
        raise DataError(f"{name!r} could not be read from the hub or its cache: {_reason(error)}.") from error


@contextmanager
def _told_offline(config: Any) -> Iterator[None]:
    """``datasets`` looks into its cache only."""
    before, config.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


def _reason(error: BaseException) -> str:
    """What the library says, on one line; its own cause where it says nothing but that something failed."""
    cause = error.__cause__
    if type(error).__name__ == "DatasetGenerationError" and cause is not None and not isinstance(cause, AutokdError):
        return _reason(cause)
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    text = " ".join(line for line in lines if not line.startswith(("Example of usage", "`load_dataset")))
    if "Config name is missing" in text or "Please specify which configuration" in text:
        text = f"{text} (--subset NAME)"
    return (text[:_MOST_OF_A_REASON] or repr(error)).rstrip(". ")


def _source(name: str, rows: Mapping[str, Any], source: DataSource) -> Source:
    notes: list[str] = []
    chosen = {
        split: named for split, names in _SPLITS.items() if (named := next((n for n in names if n in rows), None))
    }
    if "train" not in chosen and len(rows) == 1:
        chosen = {"train": next(iter(rows))}
    if not chosen:
        raise DataError(f"a data set needs a split 'train', but {name!r} has {', '.join(rows) or 'none'}.")
    unused = [split for split in rows if split not in chosen.values()]
    if unused:
        notes.append(f"splits of {name} that are not used: {', '.join(unused)}.")
    columns = find_columns(rows[next(iter(chosen.values()))].column_names, name, source)
    bare = [s for s, named in chosen.items() if columns.label not in rows[named].column_names]
    notes += [f"the {split} split has no column {columns.label!r} and is not used." for split in bare]
    tables = {s: _table(name, rows[named], columns.names) for s, named in chosen.items() if s not in bare}
    splits, missing = read_splits(tables, columns, strict=False)
    classes = next((table.classes.get(columns.label, ()) for table in tables.values()), ())
    return Source(name, splits, notes=(*notes, *missing), columns=columns.texts, classes=classes)


def _table(name: str, rows: Any, columns: tuple[str, ...]) -> Table:
    cells, classes = dataset_columns(rows, columns)
    return Table(name, cells, range(1, len(rows) + 1), "row", classes)
