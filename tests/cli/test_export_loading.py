"""What an export says of how to load it holds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autokd.cli.export import how_to_load
from autokd.models.elastic import cut, shape_of
from autokd.models.export import save_pretrained
from autokd.models.slicing import everything
from autokd.models.tiny import tiny_checkpoint, tiny_slot
from autokd.testing.tiny import tiny_texts


@pytest.mark.parametrize("free", [False, True], ids=["a shape that transformers knows", "a free shape"])
def test_the_line_for_a_checkpoint_loads_it(free: bool, tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "tiny", tiny_texts())
    slot = replace(tiny_slot(depth=2), tokenizer=str(tmp_path / "tiny"))
    kept = everything(shape_of(slot))
    student = cut(slot, replace(kept, neurons=[range(3), range(5)])) if free else slot
    save_pretrained(student, tmp_path / "student", ["no", "yes"], "classification")
    told = how_to_load(tmp_path / "student")
    line, *further = told.removeprefix("load it with ").splitlines()
    assert bool(further) == free
    if free:
        assert "where autokd is not installed, use --format onnx" in further[0]
    *imported, call = line.split("; ")
    program = "; ".join(["import transformers", *imported, f"print({call}('a text')[0]['label'])"])
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() in ("no", "yes")
