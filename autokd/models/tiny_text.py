"""Very small models that write text, made on the spot for tests and contract kits."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from autokd.models.quiet import quiet_transformers
from autokd.models.tiny import tiny_tokenizer

_PIECES = 80


def tiny_masked_lm(folder: Path, texts: Iterable[str], seed: int = 0) -> Path:
    """A Hugging Face folder of a small random BERT with its masked-language-model head; gives the folder."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = tiny_tokenizer(texts, folder)
    n_words = len(json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    config = cast(Any, BertConfig)(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=n_words,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        BertForMaskedLM(config).save_pretrained(folder)
    return folder


def tiny_translator(folder: Path, texts: Iterable[str], seed: int = 0) -> Path:
    """A Hugging Face folder of a small random Marian model that knows the language ``>>fr<<``; gives the folder.

    Needs the package sentencepiece.
    """
    import torch
    from transformers import MarianConfig, MarianMTModel

    n_pieces = _write_marian_tokenizer(folder, texts)
    pad = n_pieces - 1
    config = cast(Any, MarianConfig)(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        vocab_size=n_pieces,
        max_position_embeddings=64,
        init_std=0.5,
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        forced_eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = cast(Any, MarianMTModel)(config)
        model.generation_config.bad_words_ids = [[pad]]
        model.save_pretrained(folder)
    return folder


def _write_marian_tokenizer(folder: Path, texts: Iterable[str]) -> int:
    """Write a SentencePiece tokenizer over the texts as Marian's loads it; gives the number of its tokens."""
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(texts)),
        model_writer=made,
        vocab_size=_PIECES,
        hard_vocab_limit=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    spm = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    pieces = [spm.id_to_piece(i) for i in range(spm.get_piece_size())]
    tokens = list(dict.fromkeys(["</s>", "<unk>", ">>fr<<", *(p for p in pieces if p != "<s>"), "<pad>"]))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(made.getvalue())
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    told = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return len(tokens)
