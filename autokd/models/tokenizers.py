"""Tokenizers by folder: loading them, and telling whether two of them split texts alike."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from autokd.core.canonical import canonical
from autokd.core.errors import DataError
from autokd.models.quiet import quiet_transformers
from autokd.models.remote import is_trusted

# Texts on which tokenizers of one vocabulary may still differ: case, accents, spaces, digits, other scripts, symbols.
_PROBES = (
    "The quick BROWN Fox, isn't it?",
    "Café naïve ÜBER e\u0301 ﬁne",
    "  two  spaces\tand\na line ",
    "3.14159 1,000,000 2024-05-06 A1b2",
    "日本語の文 и русский текст עברית",
    "e-mail: a.b@c.org #tag $5 50% 😀 <s> [SEP] </s>",
    "antidisestablishmentarianism xqzvbk",
)


def load_tokenizer(folder: str | Path) -> Any:
    """The tokenizer of a folder. Raises DataError where none loads, or one without any words."""
    try:
        with quiet_transformers():  # it warns of folders whose model is of this project's own types
            found: Any = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=is_trusted()
            )
    except (OSError, ValueError, ImportError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"a tokenizer's folder must load, but {str(folder)!r} does not: {why}") from error
    if len(found) <= len(set(found.all_special_ids)):  # transformers makes an empty one of a folder without files
        raise DataError(f"a tokenizer's folder must hold a vocabulary, but there is none in {str(folder)!r}.")
    return found


@lru_cache(maxsize=64)
def fingerprint(folder: str) -> str:
    """A hash of what a folder's tokenizer does: equal for two that give every text the same token ids.

    It is taken over the vocabulary and the ids of some difficult texts, alone and as pairs, so that the same tokenizer
    in another file format has the same one. Segment ids play no part.
    """
    tokenizer = load_tokenizer(folder)
    found = hashlib.sha256(canonical(sorted(tokenizer.get_vocab().items())).encode())
    alone = tokenizer(list(_PROBES), verbose=False)["input_ids"]
    pairs = tokenizer(list(_PROBES), list(reversed(_PROBES)), verbose=False)["input_ids"]
    found.update(canonical([alone, pairs]).encode())
    return found.hexdigest()[:20]
