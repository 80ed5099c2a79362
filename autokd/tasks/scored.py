"""Which labelled rows a checkpoint is scored on: those that the data name, and never by accident those it has seen.

One split is scored whole. Of several, one is picked, as a study would make them. Data from which the checkpoint itself
was trained are recognised by their rows, and split as they were then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autokd.core.errors import DataError, UsageError
from autokd.core.provenance import Provenance
from autokd.core.settings import DataSource
from autokd.core.task import Problem, Split, Task
from autokd.tasks.graphs import labelled_nodes
from autokd.tasks.load import find_source, is_graph, load_task
from autokd.tasks.splits import Labelled, Source, complete, make_task, named, without_empty

SPLITS = ("train", "valid", "test", "all")


@dataclass(frozen=True)
class ToScore:
    """Labelled rows, their labels still as text, and what is known of them.

    ``split`` says which they are (``all``: every one). ``labels`` are those of all splits, sorted; ``classes`` the
    names of class ids, where the data number them. ``metric`` is the one asked for (empty: none), ``metrics`` those to
    be taken otherwise, the first that fits. ``seed`` is that of carved rows (None: they were not carved).
    """

    name: str
    split: str
    rows: Labelled
    labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    metric: str = ""
    metrics: tuple[str, ...] = ()
    seed: int | None = None
    notes: tuple[str, ...] = ()


def rows_to_score(
    source: DataSource,
    problem: Problem,
    split: str | None = None,
    seed: int | None = None,
    made: Provenance | None = None,
) -> ToScore:
    """The rows of ``source`` on which a checkpoint for ``problem`` is scored; ``made`` is what it tells of its data.

    ``split`` None: all rows where the data have one split, else ``test``. ``seed`` None: that of ``made``, else 0; a
    given one also carves from data of one split. A graph brings all its splits along. Raises UsageError for a split
    that is not there, DataError for data without a labelled row, and as ``find_source``.
    """
    if is_graph(source):
        return pick_nodes(load_task(source, seed=0), split, made, source.metric or "")
    return pick_rows(find_source(source), problem, split, seed, made, source.metric or "")


def pick_nodes(task: Task, split: str | None = None, made: Provenance | None = None, metric: str = "") -> ToScore:
    """The same of the nodes of a graph; ``split`` None: ``test``."""
    chosen = split or "test"
    _require_split(chosen)
    rows = task.train.plus(task.valid).plus(task.test) if chosen == "all" else getattr(task, chosen)
    is_own = made is not None and made.content == task.labelled_content
    return ToScore(
        task.name,
        chosen,
        labelled_nodes(rows, task.label_names),
        labels=tuple(sorted(task.label_names)),
        classes=task.label_names,
        metric=metric,
        metrics=(*((made.metric,) if made else ()), task.metric),
        notes=_trained_on(len(task.train) if is_own and chosen in ("train", "all") else 0, len(rows)),
    )


def pick_rows(
    source: Source,
    problem: Problem,
    split: str | None = None,
    seed: int | None = None,
    made: Provenance | None = None,
    metric: str = "",
) -> ToScore:
    """The same of what a reader found."""
    if split is not None:
        _require_split(split)
    found = {name: part for name, full in source.splits.items() if len(part := without_empty(full))}
    if not found:
        raise DataError(" ".join([f"rows to be scored have labels, but {source.name!r} has none.", *source.notes]))
    study = _study_task(source, problem, made)
    picked = _picked(source.name, found, split, seed, made, study is not None)
    own = (source.metric,) if source.metric else ()
    learnt = (made.metric,) if made else ()
    dropped = sum(map(len, source.splits.values())) - sum(map(len, found.values()))
    empty = [f"{dropped} rows without any text were left out."] if dropped else []
    return replace(
        picked,
        labels=tuple(sorted({label for part in found.values() for label in part.labels})),
        classes=source.classes,
        metric=metric,
        metrics=(*learnt, *own) if study else (*own, *learnt),
        notes=(*source.notes, *empty, *picked.notes, *_seen(picked, study, made)),
    )


def _require_split(split: str) -> None:
    if split not in SPLITS:
        raise UsageError(f"a split is one of {', '.join(SPLITS)}, but got {split!r}.")


def _picked(
    name: str,
    found: Mapping[str, Labelled],
    split: str | None,
    seed: int | None,
    made: Provenance | None,
    is_own: bool,
) -> ToScore:
    """The rows and which they are; ``is_own``: the checkpoint was trained from these very data."""
    is_whole = len(found) == 1 and seed is None and not is_own
    if split == "all" or (is_whole and split in (None, *found)):
        return ToScore(name, "all", _joined(found))
    if is_whole:
        raise UsageError(
            f"{name!r} has one split, which is scored whole: leave out --split {split}, or name the --seed by which it "
            "is to be carved."
        )
    split, there = split or "test", named(found)
    if split in there and (split != "train" or len(there) == 3):
        return ToScore(name, split, there[split])
    if "train" not in there:
        had = ", ".join(there)
        raise UsageError(f"{name!r} has no split {split!r}, nor one called train to carve it from; it has {had}.")
    by = seed if seed is not None else made.seed if made else 0
    done, _ = complete(found, by)
    study = ", as the checkpoint's study did" if made and is_own and by == made.seed else ""
    what = "what carving leaves of train" if split == "train" else "carved from train"
    note = f"{split}: {len(done[split]):,} rows, {what} by seed {by}{study}."
    return ToScore(name, split, done[split], seed=by, notes=(note,))


def _joined(parts: Mapping[str, Labelled]) -> Labelled:
    """The rows of all splits, which have the same columns."""
    found = list(parts.values())
    pairs = [part.text_b for part in found if part.text_b is not None]
    return Labelled(
        tuple(text for part in found for text in part.text_a),
        tuple(text for second in pairs for text in second) if pairs else None,
        tuple(label for part in found for label in part.labels),
    )


def _study_task(source: Source, problem: Problem, made: Provenance | None) -> Task | None:
    """The task that the checkpoint was trained on, where it can be made again of these very data."""
    if made is None:
        return None
    try:
        task = make_task(replace(source, problem=problem), made.seed)
    except (DataError, UsageError):
        return None  # these data would make no task at all
    return task if task.labelled_content == made.content else None


def _seen(picked: ToScore, study: Task | None, made: Provenance | None) -> tuple[str, ...]:
    """What is to be said of rows that the checkpoint was trained on."""
    if study is None:
        if picked.seed is None:
            return ()
        trained = f"trained from others ({made.data!r}, seed {made.seed})" if made else "trained from unknown data"
        return (f"the checkpoint was {trained}: it may have seen some of these rows.",)
    assert made is not None
    known = _texts(study.train)
    n_seen = sum(texts in known for texts in picked.rows.texts)
    if n_seen and picked.split == "train" and picked.seed in (None, made.seed):
        return _trained_on(len(picked.rows), len(picked.rows))
    how = f" (its study carved by seed {made.seed})" if picked.seed not in (None, made.seed) else ""
    return _trained_on(n_seen, len(picked.rows), how)


def _trained_on(n_seen: int, n_rows: int, how: str = "") -> tuple[str, ...]:
    if n_seen == n_rows:
        return ("the checkpoint was trained on these very rows.",)
    told = f"{n_seen:,} of these {n_rows:,} rows are among those the checkpoint was trained on{how}."
    return (told,) if n_seen else ()


def _texts(split: Split) -> set[tuple[str, str]]:
    second = split.text_b if split.text_b is not None else ("",) * len(split)
    return {(a.strip(), b.strip()) for a, b in zip(split.text_a, second, strict=True)}
