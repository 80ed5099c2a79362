"""Checkpoints of the Hugging Face hub: the same logits here as there, and out again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from autokd.contracts import Batch, Wants
from autokd.core.errors import AutokdError, SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.models.assets import find_model
from autokd.models.export import save_pretrained
from autokd.models.hub import load_pretrained
from autokd.models.slots import build

SEEDS = Seeds(0, "basics:FineTuneTeacher")
_BERT: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "vocab_size": 90,
    "max_position_embeddings": 20,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": _BERT,
    "roberta": {**_BERT, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    "electra": {**_BERT, "embedding_size": 8},
    "distilbert": {
        "n_layers": 2,
        "dim": 16,
        "n_heads": 4,
        "hidden_dim": 24,
        "vocab_size": 90,
        "max_position_embeddings": 20,
    },
}


def make_checkpoint(family: str, folder: Path, auto: Any = AutoModelForSequenceClassification) -> PreTrainedModel:
    """A small random network of a family, written to ``folder``."""
    config = AutoConfig.for_model(family, num_labels=3, initializer_range=0.3, **FAMILIES[family])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = auto.from_config(config).eval()
        with torch.no_grad():  # biases and norms start at 0 and 1: two swapped ones would not show
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    model.save_pretrained(folder)
    return model


def theirs_of(model: PreTrainedModel, inputs: Mapping[str, Tensor], family: str) -> Any:
    takes = {name: value for name, value in inputs.items() if name != "token_type_ids"}
    with torch.no_grad():
        return model(**(inputs if family in ("bert", "electra") else takes), output_hidden_states=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_hidden_states_are_those_of_the_family(
    family: str, tmp_path: Path, batch_of: Callable[..., Batch], inputs_of: Callable[[Batch], Mapping[str, Tensor]]
) -> None:
    model = make_checkpoint(family, tmp_path / "model")
    batch = batch_of((7, 4, 6), pad_id=model.config.pad_token_id)
    if family == "roberta":
        batch = replace(batch, types=torch.zeros_like(batch.ids))  # it knows one segment only
    theirs = theirs_of(model, inputs_of(batch), family)
    ours = build(load_pretrained(tmp_path / "model", 3, SEEDS))(batch, Wants(frozenset({0, 1, 2})))
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)
    real = batch.mask.bool()
    for i in range(3):
        torch.testing.assert_close(ours.hidden[i][real], theirs.hidden_states[i][real], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_out_and_in_again_is_the_same_network_in_plain_transformers(
    family: str, tmp_path: Path, batch_of: Callable[..., Batch], inputs_of: Callable[[Batch], Mapping[str, Tensor]]
) -> None:
    model = make_checkpoint(family, tmp_path / "model")
    slot = load_pretrained(tmp_path / "model", 3, SEEDS, tokenizer="")
    save_pretrained(slot, tmp_path / "out", ["a", "b", "c"], "classification")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert type(again) is type(model)
    inputs = inputs_of(batch_of((7, 4, 6), pad_id=model.config.pad_token_id))
    first, second = theirs_of(model, inputs, family), theirs_of(again, inputs, family)
    torch.testing.assert_close(second.logits, first.logits, rtol=0, atol=0)
    assert load_pretrained(tmp_path / "out", 3, SEEDS, tokenizer="").content == slot.content


def test_a_bare_encoder_gets_a_head_from_the_seeds(tmp_path: Path) -> None:
    make_checkpoint("bert", tmp_path / "bare", AutoModel)
    stored = load_file(tmp_path / "bare" / "model.safetensors")
    first = load_pretrained(tmp_path / "bare", 2, SEEDS)
    torch.testing.assert_close(first.weights["pooler.weight"], stored["pooler.dense.weight"], rtol=0, atol=0)
    head = first.weights["classifier.weight"]
    assert head.shape == (2, 16)
    assert 0.005 < float(head.std()) < 0.04
    assert first.content == load_pretrained(tmp_path / "bare", 2, SEEDS).content
    other = load_pretrained(tmp_path / "bare", 2, Seeds(1, SEEDS.stage))
    assert not torch.equal(other.weights["classifier.weight"], head)


def test_a_missing_pooler_is_drawn_too(tmp_path: Path) -> None:
    make_checkpoint("distilbert", tmp_path / "bare", AutoModel)
    slot = load_pretrained(tmp_path / "bare", 2, SEEDS)
    assert float(slot.weights["pooler.weight"].std()) > 0.005
    assert float(slot.weights["pooler.bias"].abs().max()) == 0.0


def test_a_head_of_another_width_is_drawn_anew(tmp_path: Path) -> None:
    model = make_checkpoint("bert", tmp_path / "model")
    kept = load_pretrained(tmp_path / "model", 3, SEEDS).weights["classifier.weight"]
    torch.testing.assert_close(kept, model.state_dict()["classifier.weight"], rtol=0, atol=0)
    assert load_pretrained(tmp_path / "model", 1, SEEDS).weights["classifier.weight"].shape == (1, 16)


def test_old_names_of_norms_and_half_precision_are_read(tmp_path: Path) -> None:
    make_checkpoint("bert", tmp_path / "model")
    expected = load_pretrained(tmp_path / "model", 3, SEEDS)
    file = tmp_path / "model" / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value.double()
        for name, value in load_file(file).items()
    }
    save_file({**old, "bert.embeddings.position_ids": torch.arange(20)}, file)
    assert load_pretrained(tmp_path / "model", 3, SEEDS).content == expected.content


def damaged(folder: Path, **config: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2"}, "unknown model type 'gpt2'.*distilbert"),
        ({"position_embedding_type": "relative_key"}, "positions must be absolute"),
        ({"hidden_size": None}, "hidden_size.*missing"),
        ({"num_hidden_layers": 3}, r"bert\.encoder\.layer\.2.*has nothing"),
        ({"vocab_size": 91}, r"word_embeddings.weight has the shape \(91, 16\).*has the shape \(90, 16\)"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    make_checkpoint("bert", tmp_path / "model")
    damaged(tmp_path / "model", **config)
    with pytest.raises(SpecError, match=message):
        load_pretrained(tmp_path / "model", 3, SEEDS)


def test_a_folder_without_configuration_or_safetensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"config\.json"):
        load_pretrained(tmp_path, 2, SEEDS)
    make_checkpoint("bert", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(SpecError, match=r"model\.safetensors, but there are none"):
        load_pretrained(tmp_path / "model", 3, SEEDS)


def test_real_minilm_has_the_logits_of_transformers(tmp_path: Path) -> None:
    try:
        folder = find_model("minilm").folder
    except AutokdError as error:
        pytest.skip(f"needs the model minilm: {error}")
    slot = load_pretrained(folder, 2, SEEDS)
    assert EncoderShape.from_json(slot.config).params() == 22_713_986
    save_pretrained(slot, tmp_path / "out", ["no", "yes"], "classification")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    texts = ["A short one.", "A sentence that is a good deal longer, with commas."]
    inputs = tokenizer(texts, ["And its pair.", "Yes"], padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = model(**inputs, output_hidden_states=True)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        batch = Batch(ids, inputs["token_type_ids"], mask, torch.zeros(2, dtype=torch.long), torch.arange(2))
        ours = build(slot)(batch, Wants(frozenset({6})))
        bare = AutoModel.from_pretrained(folder)(**inputs).last_hidden_state
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.hidden[6][mask.bool()], bare[mask.bool()], atol=1e-5, rtol=0)
