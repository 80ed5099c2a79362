from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.tasks.near_duplicates import first_of_each, words_of


def overlap(one: str, other: str) -> float:
    a, b = words_of(one), words_of(other)
    return len(a & b) / len(a | b)


def greedy(texts: list[str], least: float) -> list[int]:
    """The same by comparing everything."""
    kept: list[int] = []
    for row, text in enumerate(texts):
        if all(overlap(text, texts[other]) < least for other in kept):
            kept.append(row)
    return kept


TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8).map(" ".join), max_size=30)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sampled_from([0.1, 0.3, 0.5, 0.55, 0.6, 2 / 3, 0.9, 1.0]))
def test_it_finds_what_comparing_everything_finds(texts: list[str], least: float) -> None:
    assert first_of_each(texts, least) == greedy(texts, least)


def test_case_order_and_punctuation_do_not_matter() -> None:
    assert first_of_each(["Return the name.", "the name: return!", "Something else"], 1.0) == [0, 2]


@pytest.mark.parametrize(("least", "kept"), [(0.5, [0]), (0.61, [0, 1])])
def test_the_threshold_itself_counts_as_near(least: float, kept: list[int]) -> None:
    texts = ["one two three four", "one two three five"]  # 3 of 5 words
    assert overlap(*texts) == pytest.approx(0.6)
    assert first_of_each(texts, least) == kept


def test_no_two_kept_are_near() -> None:
    texts = [f"{a} {b} {c}" for a in "abc" for b in "bcd" for c in "def"]
    kept = first_of_each(texts, 0.5)
    assert kept
    assert all(overlap(texts[i], texts[j]) < 0.5 for i, j in combinations(kept, 2))
