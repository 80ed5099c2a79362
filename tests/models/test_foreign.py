"""Any classifier of transformers as a teacher: its logits, its dropout, its cost, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from autokd.contracts import Batch, Wants
from autokd.core.errors import SpecError, UsageError
from autokd.core.seeds import Seeds
from autokd.engine.dropout import StreamDropout
from autokd.methods.basics.augmenters import MixupRecipe
from autokd.models.bases import base_shape, describe
from autokd.models.foreign import load_foreign
from autokd.models.remote import trusting
from autokd.models.slots import build, load_slot, save_slot, shape_of_slot
from autokd.models.tiny import tiny_foreign

KINDS = ("deberta-v2", "albert", "xlm-roberta", "mpnet")
SEEDS = Seeds(0, "basics:FineTuneTeacher")
TEXTS = ["a few words of text"]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_hidden_states_are_those_of_transformers(
    kind: str, tmp_path: Path, batch_of: Callable[..., Batch]
) -> None:
    folder = tiny_foreign(tmp_path / kind, TEXTS, kind=kind)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = batch_of((7, 4, 6), vocabulary=60)
    ids = torch.where(batch.mask.bool(), batch.ids, model.config.pad_token_id)
    types = {} if kind != "albert" else {"token_type_ids": batch.types}
    if kind != "albert":
        batch = Batch(batch.ids, torch.zeros_like(batch.ids), batch.mask, batch.labels, batch.rows)
    before = torch.get_rng_state()
    network = build(load_foreign(folder, 2, SEEDS))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        ours = network(batch, Wants(frozenset({0, 2})))
        theirs = model(input_ids=ids, attention_mask=batch.mask, output_hidden_states=True, **types)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=0)
    real = batch.mask.bool()
    for i in (0, 2):
        torch.testing.assert_close(ours.hidden[i][real], theirs.hidden_states[i][real], atol=1e-5, rtol=0)


def test_a_slot_is_saved_and_built_without_its_folder(tmp_path: Path, batch: Batch) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS)
    slot = load_foreign(folder, 2, SEEDS)
    save_slot(slot, tmp_path / "slot")
    folder.rename(tmp_path / "gone")
    again = load_slot(tmp_path / "slot")
    assert again.content == slot.content
    small = Batch(batch.ids % 40, batch.types, batch.mask, batch.labels, batch.rows)
    assert torch.equal(build(again)(small).logits, build(slot)(small).logits)


def test_a_head_that_is_missing_comes_from_the_seeds(tmp_path: Path) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS)
    name = "model.classifier.weight"
    kept = load_foreign(folder, 2, SEEDS).weights[name]
    first = load_foreign(folder, 3, SEEDS).weights[name]
    assert kept.shape == (2, 16)
    assert first.shape == (3, 16)
    assert torch.equal(first, load_foreign(folder, 3, SEEDS).weights[name])
    assert not torch.equal(first, load_foreign(folder, 3, Seeds(1)).weights[name])


def test_outputs_are_put_into_the_order_of_our_labels(tmp_path: Path, batch: Batch) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS)
    small = Batch(batch.ids % 40, batch.types, batch.mask, batch.labels, batch.rows)
    plain = build(load_foreign(folder, 2, SEEDS))(small).logits
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "yes", "1": "no"}}))
    turned = build(load_foreign(folder, 2, SEEDS, ("no", "yes")))(small).logits
    assert torch.equal(turned, plain[:, [1, 0]])
    assert describe("m", folder, "classification", ("no", "yes")).is_tuned


def test_dropout_draws_from_the_loops_stream_and_only_there(tmp_path: Path, batch: Batch) -> None:
    network = build(load_foreign(tiny_foreign(tmp_path / "model", TEXTS), 2, SEEDS))
    small = Batch(batch.ids % 40, batch.types, batch.mask, batch.labels, batch.rows)
    before = torch.get_rng_state()

    def logits(seed: int) -> torch.Tensor:
        found: torch.Tensor = network(small, dropout=StreamDropout(seed, torch.device("cpu"))).logits
        return found

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))
    assert torch.equal(network(small).logits, network(small).logits)
    assert not torch.equal(network(small).logits, logits(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_can_be_mixed(tmp_path: Path, batch: Batch) -> None:
    network = build(load_foreign(tiny_foreign(tmp_path / "model", TEXTS), 2, SEEDS))
    ids = batch.ids % 40
    mixed = Batch(ids, batch.types, batch.mask, batch.labels, batch.rows, MixupRecipe(1.0, torch.tensor([2, 0, 1])))
    found = network(mixed).logits
    assert found.shape == (6, 2)
    plain = network(Batch(ids, batch.types, batch.mask, batch.labels, batch.rows)).logits
    torch.testing.assert_close(found[:3], plain, atol=1e-5, rtol=0)


def test_what_it_cannot_give_is_refused(tmp_path: Path, batch: Batch) -> None:
    network = build(load_foreign(tiny_foreign(tmp_path / "model", TEXTS), 2, SEEDS))
    with pytest.raises(SpecError, match="logits and hidden states"):
        network(batch, Wants(attention=True))
    small = Batch(batch.ids % 40, batch.types, batch.mask, batch.labels, batch.rows)
    with pytest.raises(SpecError, match="hidden state 9"):
        network(small, Wants(frozenset({9})))


def test_its_cost_is_known_without_loading_it(tmp_path: Path) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS)
    shape = base_shape(folder, 2)
    assert (shape.depth, shape.hidden, shape.layers[0].ffn) == (2, 16, 32)
    assert shape == shape_of_slot(load_foreign(folder, 2, SEEDS))


def change(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "vit"}, "no text classifier for the type 'vit' of 'mine'"),
        ({"model_type": "nonesuch"}, "names the type 'nonesuch'"),
        (
            {
                "model_type": "nonesuch",
                "auto_map": {"AutoConfig": "c.C", "AutoModelForSequenceClassification": "m.M"},
            },
            "'mine' brings Python code of its own, which runs only with --trust-remote-code",
        ),
    ],
)
def test_what_is_no_teacher_is_refused_before_it_is_loaded(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS)
    change(folder, **changes)
    with pytest.raises(UsageError, match=said):
        describe("mine", folder, "classification")


CODE = """
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification
from pathlib import Path
Path({mark!r}).write_text("ran")
class C(DebertaV2Config):
    model_type = "nonesuch"
class M(DebertaV2ForSequenceClassification):
    config_class = C
"""


def test_a_models_own_code_runs_only_where_it_is_trusted(
    tmp_path: Path, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, mark = tiny_foreign(tmp_path / "model", TEXTS), tmp_path / "mark"
    change(
        folder, model_type="nonesuch", auto_map={"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"}
    )
    (folder / "own.py").write_text(CODE.format(mark=str(mark)))
    with pytest.raises(UsageError, match="trust-remote-code"):
        load_foreign(folder, 2, SEEDS)
    assert not mark.exists()
    with trusting(True):
        slot = load_foreign(folder, 2, SEEDS)
        small = Batch(batch.ids % 40, batch.types, batch.mask, batch.labels, batch.rows)
        assert build(slot)(small).logits.shape == (3, 2)
    assert mark.exists()
    with pytest.raises(UsageError, match="trust-remote-code"):
        build(slot)


def test_half_a_checkpoint_is_refused_and_not_filled_with_random_weights(tmp_path: Path) -> None:
    folder = tiny_foreign(tmp_path / "model", TEXTS)
    stored = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in stored.items() if "embeddings" in name}, folder / "model.safetensors")
    with pytest.raises(SpecError, match="weights of its encoder"):
        load_foreign(folder, 2, SEEDS)
