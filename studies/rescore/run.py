"""Score every model of a study's frontier again, in processes that know nothing of autokd.

    python studies/rescore/run.py STUDY --storage sqlite:///studies/autokd.db

Checkpoints are loaded with transformers alone (of shapes that it does not know, after ``import autokd.auto``), ONNX
graphs with onnxruntime and neither torch nor autokd. All read the raw test texts; the score must be the one that the
study's record of that very model holds. Exits with 1 where one differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scorers import HF, ONNX, OWN

from autokd.core.settings import StudySettings
from autokd.core.task import Split
from autokd.measure.metrics import find_metric
from autokd.store.study_store import StudyStore
from autokd.tasks.frozen import thaw

TOLERANCE = 1e-6
# int8 models choose the scale of activations per batch, so their records are of one row at a time.
BATCHES = {"hf": 32, "onnx": 32, "onnx-int8": 1}


@dataclass(frozen=True)
class Recorded:
    """One deployed model and the test score that the study has of it."""

    name: str
    form: str
    folder: str
    test_score: float

    @property
    def is_own(self) -> bool:
        """Whether it is a checkpoint of a shape that transformers knows with autokd alone (experts, pruned heads)."""
        config = json.loads((Path(self.folder) / "config.json").read_text()) if self.form == "hf" else {}
        return config.get("model_type") == "autokd"


def logits(model: Recorded, split: Split, max_length: int) -> np.ndarray:
    """Logits [n_rows, n_outputs] of a model in a fresh process, which cannot import autokd where it needs not."""
    with tempfile.TemporaryDirectory() as place:
        rows, output = Path(place) / "rows.json", Path(place) / "logits.safetensors"
        rows.write_text(json.dumps([split.text_a] if split.text_b is None else [split.text_a, split.text_b]))
        program = OWN if model.is_own else HF if model.form == "hf" else ONNX
        given = (model.folder, rows, str(max_length), output, str(BATCHES[model.form]))
        subprocess.run([sys.executable, "-c", program, *given], check=True)
        return load_file(output)["logits"]


def recorded(study: Mapping[str, Any]) -> Iterator[Recorded]:
    """Every model of the frontier in each of its forms, and the controls in the form that they were scored in."""
    values = {t["checkpoint"]: t["values"] for t in study["trials"] if "test_score" in t["values"]}
    for row in (*study["front"], *study["controls"]):
        name, checkpoint = row.get("name") or f"trial {row['trial']}", Path(row["checkpoint"])
        forms = {form["runtime"]: (form["folder"], form["test_score"]) for form in row.get("forms", ())}
        form = "onnx-int8" if row["form"] == "onnx-int8" else "torch"
        own = checkpoint if form == "torch" else checkpoint.parent / form
        forms.setdefault(form, (str(own), values[row["checkpoint"]]["test_score"]))
        for runtime, (folder, score) in forms.items():
            if runtime != "torch-bf16":
                yield Recorded(name, "hf" if runtime == "torch" else runtime, folder, score)


def read_study(name: str, storage: str) -> dict[str, Any]:
    """The study as `autokd studies show --json` prints it."""
    command = [sys.executable, "-m", "autokd", "studies", "show", name, "--storage", storage, "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(shown.stdout.strip().splitlines()[-1])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Score a study's frontier again, without autokd.")
    parser.add_argument("study")
    parser.add_argument("--storage", required=True)
    chosen = parser.parse_args()
    settings: StudySettings = StudyStore.open(chosen.storage, chosen.study).settings
    task = thaw(Path(settings.task))
    labels, metric = np.asarray(task.test.labels), find_metric(settings.metric)
    bad = 0
    for model in recorded(read_study(chosen.study, chosen.storage)):
        score = metric.score(logits(model, task.test, settings.max_length), labels)
        difference = abs(score - model.test_score)
        wrong = difference > TOLERANCE
        bad += wrong
        print(
            f"{model.name}, {model.form}: recorded {model.test_score:.6f}, again {score:.6f}, "
            f"difference {difference:.1e}{' (too large)' if wrong else ''}"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
