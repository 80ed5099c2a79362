"""Very small networks and tokenizers made on the spot, for tests and contract kits: no download, milliseconds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from autokd.contracts import Slot
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.encoder import Encoder
from autokd.models.linear import initialise
from autokd.models.slots import encoder_slot

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def tiny_vocabulary(texts: Iterable[str], n_words: int = 400) -> list[str]:
    """Special tokens, single characters (alone and as word ends), and the commonest words of the texts."""
    words = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower()))
    common = sorted(words, key=lambda word: (-words[word], word))[:n_words]
    characters = [*_CHARACTERS, *("##" + character for character in _CHARACTERS)]
    return list(dict.fromkeys([*_SPECIAL, *characters, *common]))


def tiny_tokenizer(texts: Iterable[str], folder: Path) -> Path:
    """Write a WordPiece tokenizer over the texts' words to ``folder``, as AutoTokenizer loads it; gives the folder."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = {token: i for i, token in enumerate(tiny_vocabulary(texts))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(list(_SPECIAL))
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    told = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 64,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return folder


def tiny_shape(*, depth: int = 2, heads: int = 4, head_width: int = 4, ffn: int = 32, **changes: Any) -> EncoderShape:
    """Two layers of width 16 over 100 words, two classes; any field of ``EncoderShape`` can be set."""
    layers = tuple(LayerShape(heads, head_width, ffn) for _ in range(depth))
    return replace(EncoderShape(vocabulary=100, positions=64, hidden=16, layers=layers, labels=2), **changes)


def tiny_slot(seed: int = 0, tokenizer: str | Path = "", **changes: Any) -> Slot:
    """A small random encoder as a slot; with a tokenizer's folder its vocabulary is that tokenizer's."""
    if tokenizer and "vocabulary" not in changes:
        told = json.loads((Path(tokenizer) / "tokenizer.json").read_text(encoding="utf-8"))
        changes["vocabulary"] = len(told["model"]["vocab"])
    encoder = Encoder(tiny_shape(**changes))
    initialise(encoder, seed)
    return encoder_slot(encoder, str(tokenizer))


def tiny_checkpoint(folder: Path, texts: Iterable[str], seed: int = 0, **changes: Any) -> Path:
    """A Hugging Face folder of a small random BERT classifier with its tokenizer; gives the folder."""
    from autokd.models.export import save_pretrained

    tokenizer = tiny_tokenizer(texts, folder.with_name(folder.name + "-tokenizer"))
    slot = tiny_slot(seed, tokenizer, **changes)
    n_labels = int(slot.config["labels"])
    save_pretrained(slot, folder, [str(i) for i in range(n_labels)], "classification" if n_labels > 1 else "regression")
    return folder


def tiny_foreign(
    folder: Path, texts: Iterable[str], seed: int = 0, *, labels: int = 2, kind: str = "deberta-v2"
) -> Path:
    """A Hugging Face folder of a small random classifier of a family that cannot be cut; gives the folder."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    from autokd.models.quiet import quiet_transformers

    tokenizer = tiny_tokenizer(texts, folder)
    n_words = len(json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    make_config, auto = cast(Any, CONFIG_MAPPING[kind]), cast(Any, AutoModelForSequenceClassification)
    config = make_config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        vocab_size=n_words,
        max_position_embeddings=64,
        num_labels=labels,
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        auto.from_config(config).save_pretrained(folder)
    return folder
