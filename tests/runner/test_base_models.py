"""Teachers and students of every kind, from a trial's JSON to its record: foreign, tuned, with other tokenizers."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from autokd.core.job import Job, Outcome, Progress, TrialSpec
from autokd.models.tiny import tiny_checkpoint, tiny_foreign
from autokd.models.tiny_text import tiny_masked_lm, tiny_translator
from autokd.runner import run_job
from autokd.runner.prefix import load_prefix
from autokd.runner.watch import Watch
from autokd.testing.tiny import tiny_job, tiny_regression, tiny_spec, tiny_task, tiny_texts

OTHER_WORDS = ["quite different words make another vocabulary"]
FAST = {"use": "basics:AdamW", "lr": 0.02}


def ignore(progress: Progress) -> None:
    """Nobody listens."""


def run(job: Job) -> Outcome:
    outcome = run_job(job, ignore)
    assert outcome.state == "complete", outcome.error + outcome.trace
    return outcome


def weights(outcome: Outcome) -> dict[str, np.ndarray]:
    return load_file(Path(outcome.checkpoint) / "model.safetensors")


def same(left: Outcome, right: Outcome) -> bool:
    a, b = weights(left), weights(right)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def pipeline(teacher: str, student: dict[str, Any], *objectives: dict[str, Any], **distil: Any) -> dict[str, Any]:
    return {
        "stages": [
            {"use": "basics:FineTuneTeacher", "model": teacher, "epochs": 6, "batch_size": 8, "optimizer": FAST},
            student,
            {
                "use": "basics:Distil",
                "epochs": 6,
                "batch_size": 8,
                "optimizer": FAST,
                "objectives": list(objectives) or [{"use": "basics:Logits"}],
                **distil,
            },
        ],
        "form": "float32",
    }


LOADED = {"use": "basics:LoadStudent", "model": "other"}


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    """A spec whose assets are ``tiny``, ``other`` (another vocabulary) and ``foreign`` (a DeBERTa)."""
    tiny_checkpoint(tmp_path / "models" / "other", OTHER_WORDS, seed=5, depth=1)
    tiny_foreign(tmp_path / "models" / "foreign", tiny_texts())
    names = ("tiny", "other", "foreign")
    made = tiny_spec(tmp_path, pipeline("tiny", LOADED))
    return replace(made, assets={name: str(tmp_path / "models" / name) for name in names})


def with_pipeline(spec: TrialSpec, *args: Any, **distil: Any) -> TrialSpec:
    from autokd.pipeline import Pipeline

    return replace(spec, pipeline=Pipeline.from_json(pipeline(*args, **distil)).to_json())


def test_a_student_with_another_tokenizer_learns_from_the_teacher(tmp_path: Path, spec: TrialSpec) -> None:
    objectives = ({"use": "basics:Logits"}, {"use": "mi_alpha:MutualInformation", "hidden": 8, "out": 4})
    spec = with_pipeline(spec, "tiny", LOADED, *objectives)
    run(tiny_job(tmp_path, spec, "prefix"))
    outcome = run(tiny_job(tmp_path, spec))
    assert outcome.values["valid_score"] > 0.75
    vocabulary = json.loads((Path(outcome.checkpoint) / "tokenizer.json").read_text())["model"]["vocab"]
    assert "quite" in vocabulary
    assert "water" not in vocabulary
    again = replace(spec, cache=str(tmp_path / "cold"))
    run(tiny_job(tmp_path, again, "prefix", name="cold-prefix"))
    assert same(outcome, run(tiny_job(tmp_path, again, name="cold")))


def test_it_can_be_stopped_and_go_on(tmp_path: Path, spec: TrialSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny_job(tmp_path, spec, "prefix"))
    whole = run(tiny_job(tmp_path, spec, name="whole"))
    asked = count(1)
    monkeypatch.setattr(Watch, "should_pause", lambda self: next(asked) % 9 == 0)
    pauses = 0
    while (outcome := run_job(tiny_job(tmp_path, spec, name="parts"), ignore)).state == "paused":
        pauses += 1
        assert pauses < 100
    assert outcome.state == "complete", outcome.error
    assert pauses > 1
    assert same(whole, outcome)


@pytest.mark.parametrize("objective", [{"use": "basics:HiddenMSE"}, {"use": "basics:Logits"}], ids=["tokens", "mixup"])
def test_what_compares_tokens_is_refused_and_what_remains_is_named(
    tmp_path: Path, spec: TrialSpec, objective: dict[str, Any]
) -> None:
    augmenters = [{"use": "basics:Mixup"}] if objective["use"] == "basics:Logits" else []
    spec = with_pipeline(spec, "tiny", LOADED, objective, augmenters=augmenters)
    outcome = run_job(tiny_job(tmp_path, spec, "prefix"), ignore)
    assert outcome.state == "failed"
    assert "different tokenizers" in outcome.error
    assert "remain: basics:Labels, basics:Logits, distiller:PKD, mi_alpha:MutualInformation" in outcome.error


def test_a_pretrained_student_with_the_teachers_tokenizer_may_compare_tokens(tmp_path: Path, spec: TrialSpec) -> None:
    tiny_checkpoint(tmp_path / "models" / "twin", tiny_texts(), seed=6, depth=1, hidden=8, head_width=2)
    student = {"use": "basics:LoadStudent", "model": "twin"}
    spec = with_pipeline(spec, "tiny", student, {"use": "basics:HiddenMSE"}, augmenters=[{"use": "basics:Mixup"}])
    spec = replace(spec, assets={**spec.assets, "twin": str(tmp_path / "models" / "twin")})
    run(tiny_job(tmp_path, spec, "prefix"))
    outcome = run(tiny_job(tmp_path, spec))
    assert weights(outcome)["classifier.weight"].shape == (2, 8)


def test_a_foreign_teacher_teaches_a_pretrained_student(tmp_path: Path, spec: TrialSpec) -> None:
    spec = with_pipeline(spec, "foreign", {"use": "basics:LoadStudent", "model": "tiny"}, {"use": "basics:HiddenMSE"})
    made = run(tiny_job(tmp_path, spec, "prefix"))
    assert made.values["valid_score"] > 0.75
    assert made.values["macs"] > 0
    assert made.trained_macs > 0
    outcome = run(tiny_job(tmp_path, spec))
    probed = run(tiny_job(tmp_path, spec, "probe"))
    assert probed.values["seconds_per_mac"] > 0
    assert len(weights(outcome)) > 5
    again = replace(spec, cache=str(tmp_path / "cold"))
    run(tiny_job(tmp_path, again, "prefix", name="cold-prefix"))
    assert same(outcome, run(tiny_job(tmp_path, again, name="cold")))


def test_a_foreign_teacher_cannot_be_cut(tmp_path: Path, spec: TrialSpec) -> None:
    spec = with_pipeline(spec, "foreign", {"use": "basics:TruncateLayers", "keep": 1})
    outcome = run_job(tiny_job(tmp_path, spec, "prefix"), ignore)
    assert "basics:TruncateLayers) needs encoder_teacher" in outcome.error


def test_a_foreign_model_is_no_student(tmp_path: Path, spec: TrialSpec) -> None:
    spec = with_pipeline(spec, "tiny", {"use": "basics:LoadStudent", "model": "foreign"})
    outcome = run_job(tiny_job(tmp_path, spec, "prefix"), ignore)
    assert "families bert, roberta, distilbert, electra, but 'foreign' is not" in outcome.error


@pytest.mark.parametrize("base", ["tiny", "foreign"])
@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_a_tuned_teacher_is_only_evaluated(tmp_path: Path, spec: TrialSpec, base: str, problem: str) -> None:
    task = tiny_task() if problem == "classification" else tiny_regression()
    folder = Path(spec.assets[base])
    if problem == "regression":
        made = tiny_checkpoint if base == "tiny" else tiny_foreign
        made(tmp_path / "models" / "one", tiny_texts(), labels=1)
        folder = tmp_path / "models" / "one"
    config = json.loads((folder / "config.json").read_text())
    tuned = {"id2label": {"0": "STONE", "1": "river"}} if problem == "classification" else {"id2label": {"0": "x"}}
    kind = "regression" if problem == "regression" else None
    (folder / "config.json").write_text(json.dumps({**config, **tuned, "problem_type": kind}))
    form = {"use": "basics:Logits", "form": "mse"}
    spec = with_pipeline(tiny_spec(tmp_path, task=task), "base", LOADED, form)
    spec = replace(spec, assets={"base": str(folder), "other": str(tmp_path / "models" / "other")})
    made_once = run(tiny_job(tmp_path, spec, "prefix"))
    assert made_once.trained_macs == 0
    assert len(made_once.curve) == 1
    slot = load_prefix(spec)[0]["teacher"]
    name = next(n for n in slot.weights if n.endswith("classifier.weight"))
    stored = load_file(folder / "model.safetensors")["classifier.weight"]
    order = [1, 0] if problem == "classification" and base == "tiny" else list(range(len(stored)))
    assert np.array_equal(slot.weights[name].numpy(), stored[order])
    run(tiny_job(tmp_path, spec))


def test_a_policy_with_models_runs_from_its_json_and_costs_its_passes(tmp_path: Path, spec: TrialSpec) -> None:
    tiny_masked_lm(tmp_path / "models" / "masked", tiny_texts())
    tiny_translator(tmp_path / "models" / "marian", [*tiny_texts(), *tiny_task().train.text_a])
    policy = [
        {"use": "distiller:ContextualSubstitution", "model": "masked"},
        {"use": "distiller:BackTranslation", "forth": "marian", "back": "marian", "beams": 1},
    ]
    cut = {"use": "basics:TruncateLayers", "keep": 1}
    plain = with_pipeline(spec, "tiny", cut, augmenters=[{"use": "basics:WordSwap"}])
    spec = with_pipeline(spec, "tiny", cut, augmenters=policy)
    names = ("tiny", "masked", "marian")
    spec = replace(spec, assets={name: str(tmp_path / "models" / name) for name in names})
    run(tiny_job(tmp_path, spec, "prefix"))
    outcome = run(tiny_job(tmp_path, spec))
    assert outcome.values["valid_score"] > 0.75
    assert outcome.trained_macs > run(tiny_job(tmp_path, plain, name="plain")).trained_macs
    assert len(list((tmp_path / "cache" / "texts").glob("*.jsonl"))) == 2
    warm = run(tiny_job(tmp_path, spec, name="warm"))
    assert same(outcome, warm)
    without = replace(spec, assets={"tiny": spec.assets["tiny"]})
    assert "unknown pretrained model 'masked'" in run_job(tiny_job(tmp_path, without, name="without"), ignore).error
