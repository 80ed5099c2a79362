"""The card: read by the hub, true to the facts, and harmless whatever the texts in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import yaml
from huggingface_hub import ModelCard

from autokd.deploy.card import CardFacts, CardForm, escape, render_card, write_card

FACTS = CardFacts(
    name="mine: 3 layers",
    data="rte",
    metric="accuracy",
    problem="classification",
    label_names=("entailment", "not_entailment"),
    pipeline={"stages": [{"use": "basics:Distil", "epochs": 3, "objectives": [{"use": "basics:Logits"}]}]},
    teacher="minilm",
    valid_score=0.71,
    test_score=0.7,
    test_low=0.65,
    test_high=0.75,
    params=17e6,
    forms=(CardForm("onnx-int8", 0.705, 0.69, 1.234, 1.5, 17e6),),
    latency="batch=1,length=40,threads=1",
    n_seeds=3,
)


def test_the_hub_reads_the_header(tmp_path: Path) -> None:
    card = ModelCard.load(write_card(tmp_path, FACTS))
    assert card.data.pipeline_tag == "text-classification"
    assert (card.data.library_name, card.data.metrics, card.data.license) == ("transformers", ["accuracy"], None)
    result = card.data.eval_results[0]
    assert (result.metric_value, result.dataset_name, result.dataset_split) == (0.7, "rte", "test")
    assert list(tmp_path.glob("*README*")) == [tmp_path / "README.md"]


def test_scores_forms_and_pipeline_are_told() -> None:
    text = render_card(FACTS)
    assert "| test, mean of 3 seeds | 0.7000 (95 % interval 0.6500 to 0.7500) |" in text
    assert "| onnx\\-int8 | 0.7050 | 0.6900 | 1.23 | 1.50 | 17,000,000 |" in text
    assert "1. basics\\:Distil: epochs 3, objectives basics\\:Logits" in text
    assert json.loads(re.search(r"```json\n(.*?)\n```", text, re.DOTALL)[1]) == FACTS.pipeline
    assert "onnxruntime.InferenceSession" in text
    assert "import autokd.auto" not in text
    own = render_card(replace(FACTS, needs_autokd=True))
    assert "import autokd.auto" in own
    assert "where autokd is not installed, use an ONNX form" in own
    assert "library_name: autokd" in own


def test_what_was_not_measured_is_left_out() -> None:
    text = render_card(replace(FACTS, test_score=None, forms=(), label_names=(), params=None))
    assert "| test" not in text
    assert "## Forms" not in text
    assert "InferenceSession" not in text
    assert "text regressor" in text
    assert yaml.safe_load(text.split("---")[1])["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.71


def test_no_text_can_speak_for_the_card() -> None:
    evil = "x\n---\nlicense: mit\n# <script>alert(1)</script> [a](javascript:b) ``` | <!-- --> &amp;"
    card = render_card(
        replace(
            FACTS,
            name=evil,
            data=evil,
            teacher=evil,
            notes=(evil,),
            label_names=(evil, "b"),
            pipeline={"stages": [{"use": evil}]},
        )
    )
    header, body = re.match(r"---\n(.*?)\n---\n(.*)", card, re.DOTALL).groups()
    assert "license" not in yaml.safe_load(header)
    assert "<" not in body
    assert "[a](" not in body.split("```json")[0]
    assert body.count("```") == render_card(FACTS).count("```")
    assert [line for line in body.splitlines() if line.startswith("# ")][1:] == []
    assert escape("<b> & *c*") == "&lt;b&gt; &amp; \\*c\\*"
