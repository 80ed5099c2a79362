"""``autokd supernet``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]


@pytest.fixture(scope="module")
def corpus(workplace: Path) -> Path:
    file = workplace / "corpus.txt"
    file.write_text("\n".join(line.split(",")[0] for line in (workplace / "mine.csv").read_text().splitlines()))
    return file


def test_a_supernet_is_made_ahead(autokd: Autokd, corpus: Path, tmp_path: Path) -> None:
    given = ["supernet", "--teacher", "teacher", "--subspace", "base", "--corpus", str(corpus), "--budget", "10min"]
    ran = autokd(
        *given, "--epochs", "0.5", "--lr", "0.001", "--batch-size", "30", "--output", str(tmp_path / "a"), "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.json["steps"] == 3
    assert Path(ran.json["folder"]) == tmp_path / "a"
    assert "step 3 of 3: held-out loss" in ran.err
    stage = json.loads((tmp_path / "a" / "config.json").read_text())["made_from"]["stage"]
    assert stage["use"] == "autodistil:TrainSupernet"
    mixture = autokd(*given, "--epochs", "0.1", "--sharing", "mixture", "--output", str(tmp_path / "b"))
    assert mixture.code == 0
    assert "sub-networks of" in mixture.out
    assert mixture.out.splitlines()[-1] == str(tmp_path / "b")
    again = autokd(*given, "--output", str(tmp_path / "b"))
    assert (again.code, "must be new or empty" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--subspace", "smal", "--budget", "1min"], "must be one of base, small, tiny"),
        (["--budget", "3trials"], "a supernet's budget is one of time, but got '3trials'"),
        (["--budget", "much"], "a budget is a number and a unit"),
        (["--teacher", "nowhere", "--budget", "1min"], "no model 'nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_told(autokd: Autokd, corpus: Path, given: list[str], told: str) -> None:
    ran = autokd(
        "supernet", "--corpus", str(corpus), *(["--teacher", "teacher"] if "--teacher" not in given else []), *given
    )
    assert ran.code == 2
    assert told in ran.err
