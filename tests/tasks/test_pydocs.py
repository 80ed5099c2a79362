from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from autokd.core.errors import DataError
from autokd.core.settings import DataSource
from autokd.core.task import Task
from autokd.tasks import pydocs
from autokd.tasks.load import load_task
from autokd.tasks.near_duplicates import first_of_each


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task(DataSource("pydocs"), seed=0)


def texts(task: Task) -> tuple[str, ...]:
    return task.train.text_a + task.valid.text_a + task.test.text_a


def test_areas_are_balanced_in_every_split(task: Task) -> None:
    assert 5 <= len(task.label_names) <= 8
    for split, size in ((task.train, 280), (task.valid, 50), (task.test, 80)):
        assert Counter(split.labels) == dict.fromkeys(range(len(task.label_names)), size)


def test_no_sentence_nearly_repeats_another_one(task: Task) -> None:
    assert len(first_of_each(texts(task), 0.5)) == len(texts(task))
    assert task.notes == ()


def test_module_names_are_masked(task: Task) -> None:
    names = r"tkinter|asyncio|unittest|decimal|email|xml\.dom|importlib|tarfile|multiprocessing"
    assert not [text for text in texts(task) if re.search(rf"\b({names})\b", text, re.IGNORECASE)]
    assert sum("NAME" in text for text in texts(task)) > 100


def test_rows_are_short_prose(task: Task) -> None:
    lengths = [len(text.split()) for text in texts(task)]
    assert min(lengths) >= 9
    assert max(lengths) <= 40
    assert 13 <= sum(lengths) / len(lengths) <= 22
    assert all(text.isascii() for text in texts(task))


def test_the_study_seed_changes_nothing(task: Task) -> None:
    assert load_task(DataSource("pydocs"), seed=7).content == task.content


def test_it_can_be_learnt_but_not_by_heart(task: Task) -> None:
    words = TfidfVectorizer(sublinear_tf=True)
    model = LogisticRegression(C=10).fit(words.fit_transform(task.train.text_a), task.train.labels)
    assert 0.55 < model.score(words.transform(task.test.text_a), task.test.labels) < 0.9


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("The asyncio module.", "The NAME module."),
        ("See xml.dom.minidom for this.", "See NAME for this."),
        ("Decimal, not decimals.", "NAME, not decimals."),
        ("a.time is kept, time.sleep is not", "a.time is kept, NAME is not"),
    ],
)
def test_mask(text: str, masked: str) -> None:
    assert pydocs.mask(text) == masked


def test_sentences_of_takes_prose_and_joins_what_is_short() -> None:
    docstring = """Short start. It goes on until there are nine words of it.

    >>> example()
    This paragraph shows how the example above is run by readers.

    Copyright by somebody who wants to be named in every single copy.

    The path `name` is joined with *other* names, as many as are given.
    """
    assert pydocs.sentences_of(docstring.replace("\n    ", "\n")) == [
        "Short start. It goes on until there are nine words of it.",
        "The path name is joined with other names, as many as are given.",
    ]


def test_a_library_without_sources_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(DataError, match=r"needs 410 sentences in 2 areas, .* concurrency 0"):
        pydocs.read()
