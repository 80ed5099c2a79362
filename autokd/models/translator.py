"""A Marian translation model of transformers: texts in, texts out, nothing drawn at random."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import MarianMTModel

from autokd.core.errors import SpecError
from autokd.models.quiet import quiet_transformers

_BATCH = 16
_MOST_TOKENS = 512


class Translator:
    """Translates texts by beam search (greedily with one beam).

    ``language`` stands before every text (``">>fr<<"``) where the model writes several languages.
    """

    def __init__(self, folder: Path, device: torch.device, beams: int, language: str = "") -> None:
        """Raises SpecError where the folder has no whole Marian model, or one that does not know the language."""
        self._device, self._beams = device, beams
        self._model, self._tokenizer = _load(folder)
        self._model.to(device).eval()
        self._prefix = f"{language} " if language else ""
        known = self._tokenizer.get_vocab()
        if language and language not in known:
            languages = sorted(token for token in known if token.startswith(">>"))
            raise SpecError(
                f"a translator writes the languages {', '.join(languages) or 'of one pair'}, "
                f"but was asked for {language!r}."
            )
        positions = int(self._model.config.max_position_embeddings)
        self._longest = min(positions, _MOST_TOKENS)

    def translate(self, texts: Sequence[str]) -> list[str]:
        """As many texts. What lies beyond the model's last position is not read; batches depend on the texts alone."""
        found = [""] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            for i, text in zip(places, self._batch([texts[i] for i in places]), strict=True):
                found[i] = text
        return found

    def _batch(self, texts: list[str]) -> list[str]:
        asked = self._tokenizer(
            [self._prefix + text for text in texts],
            padding=True,
            truncation=True,
            max_length=self._longest,
            return_tensors="pt",
        ).to(self._device)
        # Twice as long as the source is longer than any translation that has not begun to repeat itself.
        most = min(self._longest - 1, 2 * asked["input_ids"].shape[1] + 8)
        with torch.no_grad():
            made = self._model.generate(
                **asked, do_sample=False, num_beams=self._beams, max_new_tokens=most, max_length=None
            )
        written: list[str] = self._tokenizer.batch_decode(made, skip_special_tokens=True)
        return written


def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import MarianTokenizer  # needs a package of its own

    try:
        with torch.random.fork_rng(devices=[]), quiet_transformers(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            tokenizer = MarianTokenizer.from_pretrained(str(folder), local_files_only=True)
            model, told = cast(Any, MarianMTModel).from_pretrained(
                folder, output_loading_info=True, use_safetensors=True, local_files_only=True, dtype=torch.float32
            )
    except (OSError, ValueError, ImportError, RuntimeError, AttributeError, KeyError, TypeError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpecError(f"a translator must load in transformers, but {str(folder)!r} does not: {why}") from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise SpecError(f"a translator's checkpoint holds all its weights, but {str(folder)!r} lacks {missing[0]}.")
    return model, tokenizer
