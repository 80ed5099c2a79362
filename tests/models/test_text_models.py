"""Masked language models and translators by folder: what is found, what is refused, what they say and cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, RobertaTokenizerFast

from autokd.core.errors import SpecError, UsageError
from autokd.models import text_models
from autokd.models.assets import find_model
from autokd.models.masked_lm import MaskedLM
from autokd.models.quiet import quiet_transformers
from autokd.models.text_models import find_asset, text_model
from autokd.models.tiny import tiny_checkpoint, tiny_tokenizer
from autokd.models.tiny_text import tiny_masked_lm, tiny_translator
from autokd.models.translator import Translator

CPU = torch.device("cpu")
TEXTS = [
    "the river bank near old water flows",
    "a small stone on the hill and then far away",
    "new sand, with a quarry; the cliff is slate",
    "the stream and the delta flood the bank",
]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_masked_lm(tmp_path_factory.mktemp("masked"), TEXTS)


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_translator(tmp_path_factory.mktemp("marian"), TEXTS)


def test_models_of_the_right_kind_are_found(masked: Path, marian: Path) -> None:
    assert find_asset(str(masked), "masked_lm").folder == masked.resolve()
    assert find_asset(str(marian), "translator").folder == marian.resolve()


def test_models_of_another_kind_are_refused(masked: Path, marian: Path, tmp_path: Path) -> None:
    classifier = tiny_checkpoint(tmp_path / "classifier", TEXTS)
    with pytest.raises(UsageError, match=r"has its output layer, but .* is BertForSequenceClassification"):
        find_asset(str(classifier), "masked_lm")
    with pytest.raises(UsageError, match=r"type 'marian', but .* is 'bert'"):
        find_asset(str(masked), "translator")
    with pytest.raises(UsageError, match="no model 'nobody/nothing'"):
        find_asset("nobody/nothing", "translator")
    with pytest.raises(SpecError, match="unknown kind of pretrained model 'poet'"):
        find_asset(str(marian), "poet")


def test_a_translator_says_which_package_it_needs(marian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'autokd\[translation\]'"):
        find_asset(str(marian), "translator")


def family(kind: str, folder: Path) -> Path:
    """A small random masked language model of another family, with a tokenizer of its kind; gives the folder."""
    if kind == "roberta":
        made = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        made.train_from_iterator(TEXTS, vocab_size=320, special_tokens=special)
        folder.mkdir()
        made.save_model(str(folder))
        RobertaTokenizerFast.from_pretrained(str(folder)).save_pretrained(folder)
    else:
        tiny_tokenizer(TEXTS, folder)
    names = {"distilbert": ("dim", "n_layers", "n_heads", "hidden_dim")}
    plain = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    sizes = dict(zip(names.get(kind, plain), (16, 2, 2, 32), strict=True))
    n_words = len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    config = CONFIG_MAPPING[kind](vocab_size=n_words, max_position_embeddings=66, initializer_range=0.5, **sizes)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(0)
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "deberta-v2"])
def test_chances_are_those_of_the_whole_model(kind: str, tmp_path: Path) -> None:
    masked = find_asset(str(family(kind, tmp_path / kind)), "masked_lm").folder
    model = MaskedLM(masked, CPU)
    assert "the" in model.words.values()
    rows = []
    for text, place in ((TEXTS[0], 2), (TEXTS[1], 4), ("the hill", 1)):
        ids, _ = model.encode(text)
        ids[place] = model.mask_id
        rows.append(ids)
    rows[1][1] = model.mask_id
    with quiet_transformers():
        plain = AutoModelForMaskedLM.from_pretrained(masked)
    words = torch.zeros(plain.config.vocab_size, dtype=torch.bool)
    words[list(model.words)] = True
    for row, found in zip(rows, model.chances(rows), strict=True):
        with torch.no_grad():
            logits = plain(input_ids=torch.tensor([row])).logits[0]
        expected = logits[torch.tensor(row) == model.mask_id].masked_fill(~words, -torch.inf).softmax(1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_words_are_whole_ones(masked: Path) -> None:
    model = MaskedLM(masked, CPU)
    assert {"river", "stone", "slate"} <= set(model.words.values())
    assert not {"##a", "[MASK]", "[PAD]", ",", ";"} & set(model.words.values())
    assert model.spelt("RIVER") == model.spelt("river") != []
    assert model.spelt("unheard") == []


def test_a_text_cannot_place_masks(masked: Path) -> None:
    model = MaskedLM(masked, CPU)
    ids, offsets = model.encode("the [MASK] river")
    assert model.mask_id not in ids
    assert len(ids) == len(offsets)
    long_ids, _ = model.encode("river " * 200)
    assert len(long_ids) == 62


def test_a_checkpoint_without_its_output_layer_is_refused(masked: Path, tmp_path: Path) -> None:
    body = tiny_checkpoint(tmp_path / "body", TEXTS)
    with pytest.raises(SpecError, match=r"holds all its weights, but .* lacks cls.predictions"):
        MaskedLM(body, CPU)


def test_translations_are_the_same_every_time_and_in_order(marian: Path) -> None:
    before = torch.get_rng_state()
    translator = Translator(marian, CPU, beams=2, language=">>fr<<")
    made = translator.translate(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)
    assert made == Translator(marian, CPU, beams=2, language=">>fr<<").translate(TEXTS)
    alone = [translator.translate([text])[0] for text in TEXTS]  # cut sooner, where its own length says so
    assert all(whole.startswith(cut) for whole, cut in zip(made, alone, strict=True))
    assert len(set(made)) > 1
    assert any(made)
    assert translator.translate([]) == []


def test_the_language_and_the_beams_matter(marian: Path) -> None:
    told = Translator(marian, CPU, beams=1, language=">>fr<<").translate(TEXTS)
    untold = Translator(marian, CPU, beams=1).translate(TEXTS)
    assert told != untold
    with pytest.raises(SpecError, match="writes the languages >>fr<<, but was asked for '>>xx<<'"):
        Translator(marian, CPU, beams=1, language=">>xx<<")


def test_what_is_no_translator_does_not_load(masked: Path) -> None:
    with pytest.raises(SpecError, match="a translator must load in transformers"):
        Translator(masked, CPU, beams=1)


def test_forecasts_are_the_products_that_are_made(masked: Path, marian: Path) -> None:
    model, told = MaskedLM(masked, CPU), text_model(masked, "masked_lm")
    row = [2, *[7] * 8, model.mask_id, 3]
    counter = FlopCounterMode(display=False)
    with counter:
        model.chances([row])  # the products of attention scores are not counted, nor forecast
    head = 16 * 16 * (len(row) - 1)  # the layer before the output layer reads every token
    assert counter.get_total_flops() // 2 - head == len(row) * told.read_macs + told.write_macs
    config = json.loads((marian / "config.json").read_text())
    told = text_model(marian, "translator")
    assert told.read_macs == 4 * 16 * 16 + 2 * 16 * 32
    assert told.write_macs == 8 * 16 * 16 + 2 * 16 * 32 + 16 * config["vocab_size"]


def test_a_copy_holds_all_that_a_translator_needs(marian: Path, tmp_path: Path) -> None:
    from autokd.models.assets import copy_asset

    copy_asset(find_model(str(marian)), tmp_path / "copy")
    assert Translator(tmp_path / "copy", CPU, 1).translate(TEXTS) == Translator(marian, CPU, 1).translate(TEXTS)
