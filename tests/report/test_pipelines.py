from __future__ import annotations

from autokd.report.pipelines import fixed, one_line, varying

PLAIN = {"stages": [{"use": "basics:TruncateLayers", "keep": 3, "take": "even"}], "form": "float32"}
NESTED = {
    "stages": [
        {
            "use": "basics:Distil",
            "objectives": [{"use": "basics:Logits", "temperature": 4.0}, {"use": "basics:Labels"}],
            "hooks": [],
            "sampler": None,
            "optimizer": {"use": "basics:AdamW", "lr": 0.00003},
        }
    ]
}


def test_every_field_is_shown_unless_fields_are_chosen() -> None:
    assert one_line(PLAIN) == "TruncateLayers keep=3 take=even"
    assert one_line(PLAIN, frozenset({(("basics:TruncateLayers",), "keep")})) == "TruncateLayers keep=3"


def test_nested_methods_stand_in_brackets_and_empty_lists_are_left_out() -> None:
    assert one_line(NESTED) == "Distil sampler=none (Logits temperature=4, Labels, AdamW lr=3e-05)"


def test_stages_are_joined_in_order_and_another_form_is_named() -> None:
    both = {"stages": [*PLAIN["stages"], {"use": "basics:Rewind"}], "form": "onnx-int8"}
    assert one_line(both, frozenset()) == "TruncateLayers → Rewind → onnx-int8"


def test_a_field_varies_where_it_has_two_values_anywhere() -> None:
    other = {"stages": [{"use": "basics:TruncateLayers", "keep": 2, "take": "even"}]}
    assert varying([PLAIN, other]) == {(("basics:TruncateLayers",), "keep")}
    assert fixed([PLAIN, other]) == {"basics:TruncateLayers": {"take": "even"}}


def test_a_method_used_twice_in_one_pipeline_varies_too() -> None:
    twice = {"stages": [{"use": "basics:Distil", "epochs": 1.0}, {"use": "basics:Distil", "epochs": 3.0}]}
    assert varying([twice]) == {(("basics:Distil",), "epochs")}


def test_whole_and_real_numbers_of_one_value_are_different_texts_but_true_is_not_one() -> None:
    flag = {"stages": [{"use": "m:A", "on": True}]}
    count = {"stages": [{"use": "m:A", "on": 1}]}
    assert varying([flag, count]) == {(("m:A",), "on")}


def test_a_method_at_two_places_is_two_things() -> None:
    stages = [
        {"use": "basics:FineTuneTeacher", "optimizer": {"use": "basics:AdamW", "lr": 0.1}},
        {"use": "basics:Distil", "optimizer": {"use": "basics:AdamW", "lr": 0.2}},
    ]
    assert varying([{"stages": stages}]) == frozenset()
    assert fixed([{"stages": stages}])["basics:Distil > basics:AdamW"] == {"lr": 0.2}
