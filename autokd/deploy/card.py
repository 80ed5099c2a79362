"""The model card: what a checkpoint is, what it was made from, how good and how fast it is, how to load it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

CARD_FILE = "README.md"
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-!|~$:@])")

_TASKS = {"text": "text-classification", "graph": "graph-ml"}  # as the hub names them

_LOAD = {
    "graph": """from pathlib import Path

import autokd
from autokd.deploy.graph_runtime import open_graph_runtime
from autokd.engine.nodes import node_rows

task = autokd.load_task(autokd.DataSource("path/to/graph.npz"), seed=0)
logits = open_graph_runtime(Path("path/to/this/folder")).logits(node_rows(task.test))
""",
    "torch": """from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
print(classify("a text", truncation=True, max_length={max_length}))
""",
    "onnx": """import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/the/onnx/folder")
session = onnxruntime.InferenceSession("path/to/the/onnx/folder/model.onnx")
inputs = tokenizer(["a text"], truncation=True, max_length={max_length}, return_tensors="np")
logits = session.run(["logits"], dict(inputs))[0]
""",
}


@dataclass(frozen=True)
class CardForm:
    """One form as it was measured; None: not measured. Scores are the task's metric."""

    runtime: str
    valid_score: float | None = None
    test_score: float | None = None
    latency_ms: float | None = None
    latency_p90_ms: float | None = None
    size_bytes: float | None = None


@dataclass(frozen=True)
class CardFacts:
    """What a card tells; None and empty texts are left out of it.

    Scores are the mean over ``n_seeds`` seeds, ``test_low`` to ``test_high`` an interval over examples and seeds.
    ``params, macs, size_bytes`` as in a trial's values; ``latency`` says how the forms were timed. ``label_names`` in
    the order of the logits, empty for regression. All texts may hold anything: they are escaped.
    """

    name: str
    data: str
    metric: str
    problem: str
    label_names: tuple[str, ...]
    pipeline: Mapping[str, Any]
    teacher: str
    valid_score: float
    test_score: float | None = None
    test_low: float | None = None
    test_high: float | None = None
    params: float | None = None
    active_params: float | None = None  # that one token meets, where these are fewer than are stored
    macs: float | None = None
    size_bytes: float | None = None
    teacher_test_score: float | None = None
    teacher_latency_ms: float | None = None
    latency: str = ""
    max_length: int = 128
    n_train: int = 0
    n_seeds: int = 1
    kind: str = "text"  # what it reads: texts, or nodes of a graph
    needs_autokd: bool = False  # whether only ``import autokd.auto`` makes transformers load the shape
    forms: tuple[CardForm, ...] = ()
    notes: tuple[str, ...] = field(default=())


def write_card(folder: Path, facts: CardFacts) -> Path:
    """Write the card as README.md, whole or not at all; gives its path."""
    path = folder / CARD_FILE
    part = path.with_name(f".{CARD_FILE}.part")
    part.write_text(render_card(facts), encoding="utf-8")
    part.replace(path)
    return path


def render_card(facts: CardFacts) -> str:
    """The card's text: a YAML header that the Hugging Face hub reads, then Markdown."""
    parts = [
        f"---\n{_header(facts)}\n---",
        f"# {escape(facts.name)}",
        _opening(facts),
        *_section("Scores", _scores(facts)),
        *_section("Forms", _forms(facts)),
        *_section("How to load it", _loading(facts)),
        *_section("How it was made", _pipeline(facts)),
        *_section("Limits", _limits(facts)),
    ]
    return "\n\n".join(parts) + "\n"


def fewer(active: float | None, stored: float | None) -> float | None:
    """The parameters that one token meets, None where they are all that are stored, or not known."""
    return active if active is not None and stored is not None and active < stored else None


def escape(text: str) -> str:
    """A text in one line, in which nothing means anything to Markdown or HTML."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", plain)


def _header(facts: CardFacts) -> str:
    results = []
    score = facts.valid_score if facts.test_score is None else facts.test_score
    if score == score:
        results.append(
            EvalResult(
                task_type=_TASKS[facts.kind],
                dataset_type=_line(facts.data),
                dataset_name=_line(facts.data),
                dataset_split="validation" if facts.test_score is None else "test",
                metric_type=_line(facts.metric),
                metric_value=round(score, 6),
            )
        )
    data = ModelCardData(
        library_name="transformers" if facts.kind == "text" and not facts.needs_autokd else "autokd",
        pipeline_tag=_TASKS[facts.kind],
        tags=["autokd", "knowledge-distillation"],
        metrics=[_line(facts.metric)],
        model_name=_line(facts.name),
        eval_results=results,
    )
    return data.to_yaml().strip()


def _line(text: str) -> str:
    return " ".join(text.split()) or "unknown"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    text = "\n".join(lines)
    return [f"## {title}", text] if text else []


def _opening(facts: CardFacts) -> str:
    what = "a text classifier" if facts.label_names else "a text regressor"
    what = "a classifier of a graph's nodes" if facts.kind == "graph" else what
    said = f"{what}, distilled from {escape(facts.teacher)} on {escape(facts.data)}"
    rows = f" ({facts.n_train:,} training rows)" if facts.n_train else ""
    labels = f" Labels: {', '.join(map(escape, facts.label_names))}." if facts.label_names else ""
    return said[0].upper() + said[1:] + rows + "." + labels


def _scores(facts: CardFacts) -> list[str]:
    lines = [f"{escape(facts.metric)} (a fraction; correlations lie in \\[\\-1, 1\\]):", "", "| | |", "|---|---|"]
    lines.append(f"| validation, on which it was chosen | {facts.valid_score:.4f} |")
    if facts.test_score is not None:
        known = facts.test_low is not None and facts.test_high is not None
        between = f" (95 % interval {facts.test_low:.4f} to {facts.test_high:.4f})" if known else ""
        seeds = f", mean of {facts.n_seeds} seeds" if facts.n_seeds > 1 else ""
        lines.append(f"| test{seeds} | {facts.test_score:.4f}{between} |")
    if facts.teacher_test_score is not None:
        lines.append(f"| the teacher, test | {facts.teacher_test_score:.4f} |")
    sizes = [
        ("parameters", facts.params, "{:,.0f}"),
        ("parameters that one token meets", facts.active_params, "{:,.0f}"),
        ("multiply-accumulates per example", facts.macs, "{:,.0f}"),
        ("bytes on disk", facts.size_bytes, "{:,.0f}"),
    ]
    lines += [f"| {name} | {form.format(value)} |" for name, value, form in sizes if value is not None]
    return lines


def _forms(facts: CardFacts) -> list[str]:
    if not facts.forms:
        return []
    lines = ["| runtime | validation | test | median ms | p90 ms | bytes |", "|---|---|---|---|---|---|"]
    for form in facts.forms:
        cells = [
            escape(form.runtime),
            _number(form.valid_score, "{:.4f}"),
            _number(form.test_score, "{:.4f}"),
            _number(form.latency_ms, "{:.2f}"),
            _number(form.latency_p90_ms, "{:.2f}"),
            _number(form.size_bytes, "{:,.0f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if facts.latency:
        told = "tokenisation apart" if facts.kind == "text" else "a call passes over the whole graph"
        lines += ["", f"Latency: {escape(facts.latency)}; {told}, timed in turns with the teacher."]
    if facts.teacher_latency_ms is not None:
        lines.append(f"The teacher takes {facts.teacher_latency_ms:.2f} ms.")
    return lines


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _shown(runtime: str, facts: CardFacts) -> str:
    return _LOAD[runtime].replace("{max_length}", str(facts.max_length))


def _loading(facts: CardFacts) -> list[str]:
    if facts.kind == "graph":
        return ["```python", _shown("graph", facts) + "```"]
    needed = "import autokd.auto  # makes this shape known to transformers\n" if facts.needs_autokd else ""
    lines = ["```python", needed + _shown("torch", facts) + "```"]
    if facts.needs_autokd:
        lines += ["", "transformers alone does not know this shape: where autokd is not installed, use an ONNX form."]
    if any(form.runtime.startswith("onnx") for form in facts.forms):
        lines += ["", "The ONNX forms need neither torch nor autokd:", "", "```python", _shown("onnx", facts) + "```"]
    return lines


def _pipeline(facts: CardFacts) -> list[str]:
    lines = []
    for i, stage in enumerate(facts.pipeline.get("stages", ()), start=1):
        told = [f"{escape(str(key))} {escape(_short(value))}" for key, value in stage.items() if key != "use"]
        lines.append(f"{i}. {escape(str(stage.get('use', '')))}" + (f": {', '.join(told)}" if told else ""))
    # In JSON these three occur within texts only, where their escapes mean the same.
    text = json.dumps(facts.pipeline, indent=1)
    for mark in "`<>":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return [*lines, "", "`autokd train` runs it again:", "", "```json", text, "```"]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("use", "")) or json.dumps(value)
    if isinstance(value, (list, tuple)):
        return " + ".join(_short(part) for part in value) or "none"
    return str(value)


def _limits(facts: CardFacts) -> list[str]:
    reads = f"- It reads {facts.max_length} tokens of a text, as it was trained: cut longer ones, as above."
    others = "- Its scores are those of one data set; on texts of another kind, language or time they may be far lower."
    if facts.kind == "graph":
        reads = "- It reads nodes with the features it was trained on, and the graph is not part of this folder."
        others = "- Its scores are those of one graph, whose every node it saw without label while it was trained."
    lines = [
        reads,
        others,
        "- It repeats what its teacher and its training data get wrong, unfair associations among it.",
    ]
    return [*lines, *(f"- {escape(note)}" for note in facts.notes)]
