"""A masked language model of transformers: which words may stand where words were masked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM

from autokd.core.errors import SpecError
from autokd.models.quiet import quiet_transformers
from autokd.models.remote import is_trusted
from autokd.models.tokenizers import load_tokenizer

_BATCH_TOKENS = 4096  # of one pass
_MOST_TOKENS = 512


class MaskedLM:
    """Chances of words, from any checkpoint that transformers loads with its masked-language-model head.

    ``words`` maps each vocabulary id that is a whole word (letters and digits, not a word's continuation) to it.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Raises SpecError where the folder has no such model, or its output layer is not in the checkpoint."""
        self._tokenizer = load_tokenizer(folder)
        self._device = device
        if self._tokenizer.mask_token_id is None or not self._tokenizer.is_fast:
            raise SpecError(f"a masked language model has a fast tokenizer with a mask, but {str(folder)!r} has not.")
        self.mask_id = int(self._tokenizer.mask_token_id)
        self._model = _load(folder).to(device).eval().requires_grad_(False)
        output = self._model.get_output_embeddings()
        if output is None:
            raise SpecError(f"a masked language model names its output layer, but {str(folder)!r} does not.")
        self._output: nn.Module = output
        positions = int(getattr(self._model.config, "max_position_embeddings", 0) or _MOST_TOKENS)
        # Some families count positions from behind the padding id.
        self._longest = min(positions - 2, _MOST_TOKENS, int(self._tokenizer.model_max_length))
        self.words = _words(self._tokenizer, int(self._model.config.vocab_size))
        if not self.words:
            raise SpecError(f"a masked language model's vocabulary holds words, but that of {str(folder)!r} has none.")
        self._spellings: dict[str, list[int]] = {}
        for i, word in self.words.items():
            self._spellings.setdefault(word.casefold(), []).append(i)
        self._is_word = torch.zeros(int(self._model.config.vocab_size), dtype=torch.bool, device=device)
        self._is_word[list(self.words)] = True

    def spelt(self, word: str) -> list[int]:
        """The vocabulary ids of a whole word, in whatever case."""
        return self._spellings.get(word.casefold(), [])

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text, cut where the model reads no further, and the stretch of the text that each stands for.

        A mask that the text itself spells is an unknown token: masks are where the caller puts them.
        """
        made = self._tokenizer(
            text, truncation=True, max_length=self._longest, return_offsets_mapping=True, verbose=False
        )
        unknown = self._tokenizer.unk_token_id
        ids = [unknown if i == self.mask_id and unknown is not None else i for i in made["input_ids"]]
        return ids, [(int(start), int(end)) for start, end in made["offset_mapping"]]

    def chances(self, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """For each row of token ids the chances [n_masks, vocabulary] of whole words at its masks, float32, on the CPU.

        Other tokens have chance 0; a mask's chances add up to 1.
        """
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        for places in _batches(order, rows):
            logits = self._at_masks([rows[i] for i in places]).float()
            shares = logits.masked_fill(~self._is_word, -torch.inf).softmax(1).cpu()
            counts = [sum(token == self.mask_id for token in rows[i]) for i in places]
            for i, part in zip(places, torch.split(shares, counts), strict=True):
                found[i] = part
        return found

    def _at_masks(self, rows: list[Sequence[int]]) -> Tensor:
        """Logits [n_masks in all, vocabulary]: the output layer, most of the cost, reads the masks' states alone."""
        width, pad = max(map(len, rows)), int(self._tokenizer.pad_token_id or 0)
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=self._device)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        real = (torch.arange(width, device=self._device) < lengths.unsqueeze(1)).long()
        masked = (ids == self.mask_id) & real.bool()
        hook = self._output.register_forward_pre_hook(lambda _, inputs: (inputs[0][masked],))
        try:
            with torch.no_grad():
                return cast(Tensor, self._model(input_ids=ids, attention_mask=real).logits)
        finally:
            hook.remove()


def _batches(order: list[int], rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """The rows in this order, cut where padded batches would hold too many tokens."""
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * len(rows[i]) <= _BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _words(tokenizer: Any, vocabulary: int) -> dict[int, str]:
    """Ids of whole words. Which tokens begin a word is told by the mark that the vocabulary's own kind uses."""
    tokens: dict[str, int] = tokenizer.get_vocab()
    start = next((mark for mark in ("\u0120", "\u2581") if any(token.startswith(mark) for token in tokens)), "")
    special = set(tokenizer.all_special_ids)
    found = {}
    for token, i in tokens.items():
        word = token.removeprefix(start)
        if token.startswith(start) and word.isalnum() and i not in special and i < vocabulary:
            found[i] = word
    return found


def _load(folder: Path) -> Any:
    """The model, whose every weight comes from the checkpoint: nothing may be drawn at random."""
    try:
        with torch.random.fork_rng(devices=[]), quiet_transformers():
            model, told = AutoModelForMaskedLM.from_pretrained(
                folder,
                output_loading_info=True,
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                trust_remote_code=is_trusted(),
            )
    except (OSError, ValueError, ImportError, RuntimeError, AttributeError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpecError(
            f"a masked language model must load in transformers, but {str(folder)!r} does not: {why}"
        ) from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise SpecError(
            f"a masked language model's checkpoint holds all its weights, but {str(folder)!r} lacks "
            f"{', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}."
        )
    return model
