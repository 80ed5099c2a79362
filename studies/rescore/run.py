"""Score every frontier checkpoint of a study again, in processes that know nothing of autokd.

    python studies/rescore/run.py STUDY --storage sqlite:///studies/autokd.db

Each checkpoint is loaded with transformers alone, from its folder, and fed the raw test texts; its score must be the
one that the study's record of that very checkpoint holds. Exits with 1 where one differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from autokd.core.settings import StudySettings
from autokd.core.task import Split
from autokd.measure.metrics import METRICS
from autokd.store.study_store import StudyStore
from autokd.tasks.frozen import thaw

TOLERANCE = 1e-6

# Runs in a process of its own. Rows are padded to their own batch of 32, in the order of the file.
SCORER = """
import json, sys
sys.modules["autokd"] = None  # an import of it would fail
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, rows, length, output = sys.argv[1:]
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = json.load(open(rows))
found = []
with torch.inference_mode():
    for start in range(0, len(texts[0]), 32):
        parts = [column[start : start + 32] for column in texts]
        inputs = tokenizer(*parts, padding=True, truncation=True, max_length=int(length), return_tensors="pt")
        found.append(model(**inputs).logits)
save_file({"logits": torch.cat(found)}, output)
"""


def reloaded_logits(checkpoint: str, split: Split, max_length: int) -> np.ndarray:
    """Logits [n_rows, n_outputs] of a checkpoint in a fresh process that cannot import autokd."""
    with tempfile.TemporaryDirectory() as place:
        rows, output = Path(place) / "rows.json", Path(place) / "logits.safetensors"
        rows.write_text(json.dumps([split.text_a] if split.text_b is None else [split.text_a, split.text_b]))
        subprocess.run([sys.executable, "-c", SCORER, checkpoint, rows, str(max_length), output], check=True)
        return load_file(output)["logits"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Score a study's frontier checkpoints again, with transformers alone.")
    parser.add_argument("study")
    parser.add_argument("--storage", required=True)
    chosen = parser.parse_args()
    shown = subprocess.run(
        [sys.executable, "-m", "autokd", "studies", "show", chosen.study, "--storage", chosen.storage, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    study: dict[str, Any] = json.loads(shown.stdout.strip().splitlines()[-1])
    settings: StudySettings = StudyStore.open(chosen.storage, chosen.study).settings
    task = thaw(Path(settings.task))
    labels, metric = np.asarray(task.test.labels), METRICS[settings.metric]
    recorded = {t["checkpoint"]: t["values"]["test_score"] for t in study["trials"] if "test_score" in t["values"]}
    worst = 0.0
    for row in (*study["front"], *study["controls"]):
        score = metric.score(reloaded_logits(row["checkpoint"], task.test, settings.max_length), labels)
        difference = abs(score - recorded[row["checkpoint"]])
        worst = max(worst, difference)
        name = row.get("name") or f"trial {row['trial']}"
        print(f"{name}: recorded {recorded[row['checkpoint']]:.6f}, again {score:.6f}, difference {difference:.1e}")
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
