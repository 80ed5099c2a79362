from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autokd.contracts import KINDS
from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]

OWN = """
from dataclasses import dataclass
from typing import ClassVar
from autokd.contracts import Facts

@dataclass(frozen=True)
class Quiet:
    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = "1234.56789"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()
    lr: float = 0.5
"""


def test_methods_are_listed_as_spaces_write_them(autokd: Autokd) -> None:
    found = {each["use"]: each for each in autokd("methods", "--json").json}
    assert found["stark:SparsifyTeacher"]["source"] == "2210.03923"
    assert found["basics:Logits"]["kind"] == "objective"
    assert found["basics:Logits"]["fields"]["temperature"] == {"default": 2.0}
    assert all(set(each) == {"use", "kind", "source", "fields"} for each in found.values())
    assert {each["kind"] for each in found.values()} <= set(KINDS)


def test_methods_of_ones_own_are_listed_too(autokd: Autokd, tmp_path: Path) -> None:
    (tmp_path / "mine_for_listing.py").write_text(OWN)
    ran = autokd("methods", "--methods", str(tmp_path / "mine_for_listing.py"))
    (line,) = [line for line in ran.out.splitlines() if "mine_for_listing:Quiet" in line]
    assert line.split() == ["optimizer", "mine_for_listing:Quiet", "1234.56789", "lr=0.5"]


def test_a_space_is_judged(autokd: Autokd) -> None:
    found = autokd("check", "small.yaml", "--teacher", "teacher", "--json").json
    assert found["name"] == "small"
    assert found["size"] is None
    assert found["n_parameters"] == 4
    assert found["masked"] == []
    assert found["uses"] == ["basics:AdamW", "basics:Distil", "basics:FineTuneTeacher", "basics:Logits", "basics:TruncateLayers"]  # fmt: skip # noqa: E501
    assert found["cheapest"]["pipeline"]["stages"][1]["keep"] == 1
    assert found["dearest"]["pipeline"]["stages"][1]["keep"] == 2
    assert found["cheapest"]["training_macs"] < found["dearest"]["training_macs"]


def test_choices_that_cannot_run_here_are_named_with_the_reason(
    autokd: Autokd, workplace: Path, tmp_path: Path
) -> None:
    text = (workplace / "small.yaml").read_text()
    space = tmp_path / "more.yaml"
    space.write_text(
        text.replace("pick: [auto]", "pick: [auto, nobody/nothing]").replace("pick: [1, 2]", "pick: [1, 2, 9]")
    )
    ran = autokd("check", str(space), "--teacher", "teacher")
    assert ran.code == 0, ran.err
    masked = [line for line in ran.out.splitlines() if line.startswith("masked:")]
    assert any("teacher = nobody/nothing" in line for line in masked)


def test_a_space_is_judged_for_a_data_set(autokd: Autokd) -> None:
    ran = autokd("check", "small.yaml", "--teacher", "teacher", "--dataset", "mine.csv")
    assert "mine, 100 rows of 64 tokens" in ran.out
    assert "keep=1" in ran.out


def test_a_space_that_breaks_a_rule_is_an_error(autokd: Autokd, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("stages:\n  - {use: basics:Distil, epochs: {pick: [1, 2]}}\n")
    ran = autokd("check", str(tmp_path / "bad.yaml"))
    assert ran.code == 2
    assert "name" in ran.err
