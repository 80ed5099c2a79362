"""Supernets made ahead of studies: planned by time, interrupted and gone on with, and used by a study's trial."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from autokd.core.errors import AutokdError, BudgetError, SpecError, UsageError
from autokd.core.seeds import Seeds
from autokd.models.supernet_folder import load_supernet
from autokd.models.tiny import tiny_checkpoint
from autokd.runner import ahead
from autokd.runner.ahead import Order, make_supernet
from autokd.runner.jobs import run_job
from autokd.testing.tiny import tiny_job, tiny_spec, tiny_task, tiny_texts

STAGE = {"use": "autodistil:TrainSupernet", "space": "base", "batch_size": 16}


@pytest.fixture
def order(tmp_path: Path) -> Order:
    tiny_checkpoint(tmp_path / "models" / "tiny", tiny_texts(), seed=3)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(tiny_task(n_train=120).train.text_a))
    folder = str(tmp_path / "models" / "tiny")
    return Order(STAGE, folder, str(corpus), str(tmp_path / "net"), 600.0, max_length=32, epochs=3)


def silent(step: int, of: int, loss: float) -> None:
    """Nobody listens."""


def test_a_supernet_is_made_and_told(order: Order) -> None:
    told: list[tuple[int, int, float]] = []
    made = make_supernet(order, lambda *progress: told.append(progress))
    assert (made.rows, made.steps, made.n_subnets) == (108, 21, 64)  # one text in ten is held out
    assert [(step, of) for step, of, _ in told] == [(7, 21), (14, 21), (21, 21)]
    assert 0 < made.loss == told[-1][2] < told[0][2]
    assert made.params[0] < made.params[1]
    config = json.loads((Path(made.folder) / "config.json").read_text())
    assert config["made_from"]["corpus"] == "corpus.txt"
    assert not order.work.exists()
    with pytest.raises(UsageError, match="must be new or empty"):
        make_supernet(order, silent)


def test_an_interrupted_one_goes_on_as_if_nothing_had_been(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def content(folder: str) -> str:
        return load_supernet(Path(folder), 2, Seeds(0))[0].content

    whole = make_supernet(order, silent)
    parts = replace(order, output=f"{order.output}-parts")
    real, calls = time.monotonic, count()
    monkeypatch.setattr(ahead, "seconds_per_step", lambda *args: 0.001)
    monkeypatch.setattr(ahead.time, "monotonic", lambda: real() + (1e4 if next(calls) > 12 else 0.0))
    with pytest.raises(AutokdError, match=r"the budget ended at step \d+ of 21; the same command goes on"):
        make_supernet(parts, silent)
    monkeypatch.setattr(ahead.time, "monotonic", real)
    with pytest.raises(UsageError, match="holds another supernet's work"):
        make_supernet(replace(parts, seed=1), silent)
    elsewhere = f"{tmp_path}/./{Path(parts.output).name}"
    made = make_supernet(replace(parts, seconds=300.0, output=elsewhere), silent)
    assert content(made.folder) == content(whole.folder)


def test_the_time_decides_how_many_steps_are_made(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "seconds_per_step", lambda *args: 100.0)
    assert make_supernet(order, silent).steps == 5  # of six that are not quite possible
    small = replace(order, output=f"{order.output}-small", seconds=50.0)
    with pytest.raises(BudgetError, match=r"takes 100\.0 seconds here, but this one does not"):
        make_supernet(small, silent)


def test_what_cannot_be_made_is_told(order: Order, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a stage that trains one, but got 'basics:Rewind'"):
        make_supernet(replace(order, stage={"use": "basics:Rewind"}), silent)
    (tmp_path / "one.txt").write_text("alone\n")
    with pytest.raises(UsageError, match="two texts at least"):
        make_supernet(replace(order, corpus=str(tmp_path / "one.txt")), silent)


def students(order: Order, tmp_path: Path) -> Iterator[dict[str, object]]:
    """Pipelines of a study whose teacher is the one that the supernet was cut from."""
    teach = {"use": "basics:FineTuneTeacher", "model": "tiny", "epochs": 2}
    load = {"use": "autodistil:LoadSupernet", "supernet": order.output}
    yield {
        "stages": [teach, load, {"use": "autodistil:SearchSubnet", "macs": 0.7, "share": 0.5}, {"use": "basics:Distil"}]
    }
    corpus = {"use": "autodistil:TrainSupernet", "space": "base", "corpus": order.corpus, "epochs": 1}
    yield {"stages": [teach, corpus, {"use": "autodistil:ExtractSubnet"}, {"use": "basics:Distil"}]}


def test_a_study_names_a_supernet_or_a_corpus(order: Order, tmp_path: Path) -> None:
    make_supernet(order, silent)
    places = {"tiny": order.teacher, order.output: order.output, order.corpus: order.corpus}
    for i, pipeline in enumerate(students(order, tmp_path)):
        spec = tiny_spec(tmp_path, pipeline, assets=places)
        for kind in ("prefix", "trial"):
            outcome = run_job(tiny_job(tmp_path, spec, kind, name=f"{kind}-{i}"), lambda _: None)  # type: ignore[arg-type]
            assert outcome.state == "complete", outcome.error + outcome.trace
        assert 0 < outcome.values["params"] < 1e6
        tokenizer = json.loads((Path(outcome.checkpoint) / "tokenizer_config.json").read_text())
        assert tokenizer["tokenizer_class"] == "BertTokenizer"


def test_another_tokenizer_is_refused(order: Order, tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "models" / "other", ["quite other words than those"])
    make_supernet(order, silent)
    pipeline = next(students(order, tmp_path))
    pipeline["stages"][0]["model"] = "other"  # type: ignore[index]
    places = {"other": str(tmp_path / "models" / "other"), order.output: order.output}
    outcome = run_job(tiny_job(tmp_path, tiny_spec(tmp_path, pipeline, assets=places), "prefix"), lambda _: None)
    assert "split texts alike" in outcome.error
