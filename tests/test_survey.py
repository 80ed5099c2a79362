from __future__ import annotations

from pathlib import Path

import pytest

from autokd.core.errors import SpecError
from autokd.core.settings import DataSource
from autokd.models.tiny import tiny_tokenizer
from autokd.models.tiny_text import tiny_masked_lm
from autokd.survey import survey
from autokd.testing.supernets import tiny_supernet
from tests.workplace import SPACE


def test_shares_of_real_numbers_are_judged_at_their_ends(workplace: Path, tmp_path: Path) -> None:
    space = tmp_path / "s.yaml"
    space.write_text(SPACE.replace("epochs: 4", "epochs: {name: epochs, low: 1.0, high: 4.0}"))
    found = survey(str(space), teacher=str(workplace / "teacher"))
    assert found.cheapest.pipeline["stages"][2]["epochs"] == 1.0
    assert found.dearest.pipeline["stages"][2]["epochs"] == 4.0
    assert found.size is None


def test_a_space_of_choices_is_counted_and_its_students_are_sized(workplace: Path, tmp_path: Path) -> None:
    space = tmp_path / "s.yaml"
    space.write_text(SPACE.replace("{name: lr, low: 0.003, high: 0.02, log: true}", "0.01"))
    found = survey(str(space), teacher=str(workplace / "teacher"))
    assert found.size == 4
    assert found.cheapest.params is not None
    assert found.dearest.params is not None
    assert found.cheapest.params < found.dearest.params


def test_an_option_is_masked_only_where_no_pipeline_has_it(workplace: Path, tmp_path: Path) -> None:
    space = tmp_path / "s.yaml"
    illegal = "{name: extra, pick: {none: [], rewind: [{use: basics:Rewind}]}}"
    space.write_text(SPACE.replace("form: float32", f"  - {illegal}\nform: float32"))
    found = survey(str(space), teacher=str(workplace / "teacher"))
    assert [(masked.parameter, masked.option) for masked in found.masked] == [("extra", "rewind")]
    assert "trained student" in found.masked[0].reason


def test_a_space_in_which_nothing_can_run_says_why(workplace: Path, tmp_path: Path) -> None:
    space = tmp_path / "s.yaml"
    space.write_text(SPACE.replace("pick: [1, 2]", "pick: [40, 41]"))
    with pytest.raises(SpecError, match=r"no pipeline of the space 's' can run here: .*2 layers"):
        survey(str(space), teacher=str(workplace / "teacher"))


AUGMENTED = """    augmenters:
      - name: policy
        pick:
          none: []
          contextual:
            use: distiller:ContextualSubstitution
            model: {name: lm, pick: [MASKED, nobody/one, nobody/two, nobody/three]}
          back: {use: distiller:BackTranslation, forth: {name: forth, pick: [nobody/forth, nobody/fifth]}}
form: float32"""


def test_models_that_methods_read_are_masked_once_and_others_are_forecast(workplace: Path, tmp_path: Path) -> None:
    masked = tiny_masked_lm(tmp_path / "masked", ["a few words"])
    space = tmp_path / "s.yaml"
    space.write_text(SPACE.replace("form: float32", AUGMENTED.replace("MASKED", str(masked))))
    found = survey(str(space), teacher=str(workplace / "teacher"))
    said = {(each.parameter, each.option): each.reason for each in found.masked}
    # Where back-translation is masked, that none of its models is at hand need not be said again.
    assert set(said) == {("policy", "back"), ("lm", "nobody/one"), ("lm", "nobody/two"), ("lm", "nobody/three")}
    assert all("no model 'nobody/" in reason for reason in said.values())
    assert found.dearest.pipeline["stages"][2]["augmenters"][0]["model"] == str(masked)


def test_a_supernet_of_another_tokenizer_is_masked(workplace: Path, tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    tiny_supernet(own, workplace / "teacher")
    tiny_supernet(other, tiny_tokenizer(["quite other words than those"], tmp_path / "words"))
    loaded = f"{{use: autodistil:LoadSupernet, supernet: {{name: net, pick: ['{own}', '{other}']}}}}"
    cut = "- {use: basics:TruncateLayers, keep: {name: layers, pick: [1, 2]}}"
    assert cut in SPACE
    space = tmp_path / "s.yaml"
    space.write_text(SPACE.replace(cut, f"- {loaded}\n  - {{use: autodistil:ExtractSubnet}}"))
    found = survey(str(space), teacher=str(workplace / "teacher"))
    assert [(masked.parameter, masked.option) for masked in found.masked] == [("net", str(other))]
    assert "split texts alike" in found.masked[0].reason


def test_a_space_for_graphs_is_judged_for_one() -> None:
    found = survey("graph")
    assert found.masked == ()
    assert "training nodes" in found.judged_for
    assert "graph:TrainTeacher" in found.uses
    assert found.cheapest.macs is not None
    on_a_graph = survey("graph", DataSource("csbm:n=60"))
    assert on_a_graph.judged_for.startswith("csbm:n=60, 18 training nodes")
    with pytest.raises(SpecError, match="works on data of the kind graph"):
        survey("graph", DataSource("pydocs"))
