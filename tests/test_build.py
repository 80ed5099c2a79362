"""JSON to methods and back."""

import pytest

from autokd import build
from autokd.contracts import KINDS
from autokd.core.errors import SpecError
from autokd.methods.basics import AdamW, Distil, Labels, Logits, WordSwap
from autokd.methods.distiller import BackTranslation, ContextualSubstitution


def test_nested_methods_are_built_in_place() -> None:
    value = {
        "use": "basics:Distil",
        "objectives": [{"use": "basics:Labels"}, {"use": "basics:Logits", "temperature": 4}],
        "optimizer": {"use": "basics:AdamW", "lr": 0.001},
    }
    made = build.build(value)
    assert made == Distil(objectives=(Labels(), Logits(temperature=4.0)), optimizer=AdamW(lr=0.001))
    assert build.build(build.to_json(made)) == made


def test_defaults_are_json() -> None:
    found = build.defaults("basics:Distil")
    assert found["optimizer"]["use"] == "basics:AdamW"
    assert build.resolved({"use": "basics:Distil", **found}) == build.resolved({"use": "basics:Distil"})


def test_nested_methods_are_listed_depth_first() -> None:
    stage = Distil(objectives=(Labels(), Logits()), augmenters=(WordSwap(),))
    kinds = [method.kind for method in build.nested(stage)]
    assert kinds.count("objective") == 2
    assert kinds.count("augmenter") == 1
    assert kinds.count("optimizer") == 1


def test_models_that_methods_read_are_named_with_what_they_must_be() -> None:
    policy = (ContextualSubstitution(model="a/b"), WordSwap(), BackTranslation(forth="c/d", back="e/f"))
    assert build.assets_of(Distil(augmenters=policy)) == {"a/b": "masked_lm", "c/d": "translator", "e/f": "translator"}
    assert build.assets_of(policy[0]) == {"a/b": "masked_lm"}
    assert build.assets_of(Distil()) == {}


def test_every_method_describes_itself() -> None:
    rows = build.describe_methods()
    assert {row["kind"] for row in rows} <= set(KINDS)
    uses = [row["use"] for row in rows]
    assert len(uses) == len(set(uses))
    assert {"basics:Distil", "stark:SparsifyTeacher", "mi_alpha:MutualInformation", "moebert:ToExperts"} <= set(uses)
    sources = {row["use"]: row["source"] for row in rows}
    assert sources["stark:SparsifyTeacher"] == "2210.03923"
    assert sources["mi_alpha:MutualInformation"] == "2109.11105"
    assert sources["moebert:ToExperts"] == "2204.07675"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"use": "basics:Logits", "tau": 2}, r"basics:Logits has no field 'tau'; it has \['form', "),
        ({"use": "basics:Logits", "temperature": "hot"}, "temperature must be a number, but got 'hot'"),
        ({"use": "basics:Logits", "tau_squared": 1}, "must be true or false, but got 1"),
        ({"use": "basics:Logits", "form": "js"}, "form must be one of"),
        ({"use": "basics:TruncateLayers", "keep": 2.5}, "whole number"),
        ({"use": "basics:checks"}, "class"),
        ({"uses": "basics:Logits"}, "'use' address"),
        ("basics:Logits", "'use' address"),
    ],
)
def test_bad_json_is_one_clear_error(value, message) -> None:
    with pytest.raises(SpecError, match=message):
        build.build(value)
