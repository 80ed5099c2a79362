"""The beginnings of very long texts: all that a tokenizer needs of them, and none of the time that the rest takes.

Tokenizers read a text to its end before they cut it, and cutting two very long texts of a pair takes them minutes.
"""

from __future__ import annotations

from typing import Any

_CHARACTERS_PER_TOKEN = 32  # from so many characters per allowed token on, a text is long
_SURPLUS = 2  # a beginning holds so many times the tokens that are allowed: its last ones may not be the text's own


def beginnings(texts: tuple[str, ...], tokenizer: Any, max_length: int) -> list[str]:
    """The texts, the long ones cut so that their first ``max_length`` tokens stay what they are.

    Of a pair of which both are cut to ``max_length`` together, the longer text gets the odd token; which one that is
    is then decided by the beginnings.
    """
    limit = _CHARACTERS_PER_TOKEN * max_length
    return [text if len(text) <= limit else _beginning(text, tokenizer, limit, _SURPLUS * max_length) for text in texts]


def _beginning(text: str, tokenizer: Any, size: int, n_tokens: int) -> str:
    while size < len(text):
        words = text[:size].rsplit(None, 1)  # whole words, where there are any
        head = words[0] if words else ""
        if len(head.split()) > n_tokens:  # a word is a token or more
            return head
        cut = _cut(head, tokenizer, n_tokens)  # too few words: Chinese, code, one endless word
        if cut is not None:
            return cut
        size *= 4
    return _cut(text, tokenizer, n_tokens) or text


def _cut(text: str, tokenizer: Any, n_tokens: int) -> str | None:
    """The text up to the end of its token number ``n_tokens``; None where it has no more (or cannot say)."""
    if not getattr(tokenizer, "is_fast", False):
        return None
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ends = [end for _, end in found["offset_mapping"]]
    return text[: ends[n_tokens]] if len(ends) > n_tokens else None
