"""Trainings in processes, each one's row appended to a file as it ends: whatever is there is not trained again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from trainings.work import Place, Training, train

Rows = dict[tuple[Any, ...], dict[str, Any]]


def read(path: Path, names: Sequence[str]) -> Rows:
    """The rows that are there already, the last word on each, by the values of the fields that tell them apart."""
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return {tuple(row[name] for name in names): row for row in rows}


def make(trainings: Iterable[Training], done: Rows, place: Place, output: Path, deadline: float) -> bool:
    """Train what is not ``done`` and add its rows to it. Whether all of them are there now; none begins after the
    deadline (of ``time.monotonic``)."""
    trainings = list(trainings)
    waiting = [one for one in trainings if _key(one) not in done]
    for one, row in _in_turn(waiting, place, deadline):
        done[_key(one)] = row
        with output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        told = row.get("error") or f"valid {row['valid_score']:.4f}, test {row['test_score']:.4f}"
        print(f"{', '.join(str(value) for value in one.about.values())}: {told}", flush=True)
    return all(_key(one) in done for one in trainings)


def _in_turn(waiting: list[Training], place: Place, deadline: float) -> Iterator[tuple[Training, dict[str, Any]]]:
    with ProcessPoolExecutor(place.processes, mp_context=get_context("spawn")) as pool:
        begun: dict[Future[dict[str, Any]], Training] = {}
        while True:
            while waiting and len(begun) < place.processes and time.monotonic() < deadline:
                one = waiting.pop(0)
                begun[pool.submit(train, one, place)] = one
            if not begun:
                return
            ended = next(as_completed(begun))
            yield begun.pop(ended), ended.result()


def _key(training: Training) -> tuple[Any, ...]:
    return tuple(training.about.values())


def checked(rows: Iterable[Mapping[str, Any]]) -> None:
    """SystemExit where a run failed: a table with holes compares nothing."""
    failed = [json.dumps({k: v for k, v in row.items() if k != "predicted"}) for row in rows if row.get("error")]
    if failed:
        raise SystemExit("these runs failed:\n" + "\n".join(failed))
