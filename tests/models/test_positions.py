"""A foreign model reads as many tokens as it is said to, and not one more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from autokd.core.seeds import Seeds
from autokd.deploy.folders import limits_of
from autokd.deploy.scoring import open_model, predict
from autokd.models.bases import base_shape, readable_length
from autokd.models.foreign import load_foreign
from autokd.models.positions import readable_positions
from autokd.models.slots import shape_of_slot
from autokd.models.tiny import tiny_foreign

TEXTS = ["a few words of text"]
FROM_PADDING = ("camembert", "data2vec-text", "mpnet", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl")
FROM_ZERO = ("albert", "convbert", "fnet", "nystromformer")


@pytest.mark.parametrize("kind", FROM_PADDING)
def test_positions_that_begin_behind_the_padding_are_fewer(kind: str, tmp_path: Path) -> None:
    folder = tiny_foreign(tmp_path / kind, TEXTS, kind=kind)
    found = limits_of(folder).positions
    assert found == base_shape(folder, 2).positions == readable_length([folder], 512) == 62
    assert shape_of_slot(load_foreign(folder, 2, Seeds(0))).positions == found
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        assert torch.isfinite(model(input_ids=torch.full((1, found), 7)).logits).all()
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            model(input_ids=torch.full((1, found + 1), 7))


@pytest.mark.parametrize("kind", FROM_ZERO)
def test_positions_of_others_are_all_read(kind: str, tmp_path: Path) -> None:
    folder = tiny_foreign(tmp_path / kind, TEXTS, kind=kind)
    found = limits_of(folder).positions
    assert found == base_shape(folder, 2).positions == 64
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        assert torch.isfinite(model(input_ids=torch.full((1, found), 7)).logits).all()


def test_a_padding_id_that_is_not_told_is_the_types_own() -> None:
    assert readable_positions("xlm-roberta", 514, None) == 512
    assert readable_positions("xlm-roberta", 514, 3) == 510
    assert readable_positions("mpnet", 514, 3) == 512
    assert readable_positions("deberta-v2", 512, 0) == 512
    assert readable_positions("roberta", 0, 1) == 0


def test_a_long_text_is_cut_to_what_the_model_reads(tmp_path: Path) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS, kind="xlm-roberta")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 512}))
    model = open_model(folder)
    assert model.max_length == 62
    found = predict(model, ["a few words of text " * 40])
    assert found.probabilities is not None
    assert found.probabilities.shape == (1, 2)
