from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from autokd.core.result import StudyResult
from autokd.report.page import default_path, render, write


class _Reader(HTMLParser):
    """Collects visible text, tags with addresses, and whether every element is closed in order."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)


def test_the_page_is_one_file_that_loads_nothing(result: StudyResult) -> None:
    page = render(result)
    reader = _Reader(page)
    assert reader.open == []
    assert reader.addresses == []
    assert "default-src 'none'" in page
    assert page.count("plotly.js v") == 1


def test_what_was_found_stands_in_the_page(result: StudyResult) -> None:
    words = " ".join(_Reader(render(result)).words)
    for expected in (
        "pydocs-2026",
        "9.833 of 10 cpu-min (98%)",
        "The best student (trial 3) scores 0.830",
        "0.810 – 0.850",
        "/studies/files/checkpoints/3",
        "the loss at step 12 is not finite (nan)",
        "The validation split was carved from train.",
        "autokd search --dataset pydocs --budget 10cpu-min",
        "2.13.0",
        "basics:FineTuneTeacher",
    ):
        assert expected in words


def test_what_was_deployed_stands_in_the_page(deployed_result: StudyResult) -> None:
    reader = _Reader(render(deployed_result))
    words = " ".join(reader.words)
    assert reader.open == []
    for expected in (
        "minilm, bert-base-uncased",
        "2,400 training rows, 5,000 unlabelled ones",
        "is fastest in onnx-int8",
        "p90 2.5 ms",
        "10.0×",
        "9M active",
        "9M active, 4M not zero",
        "float 0.7950",
        "/studies/files/trials/3/onnx-int8",
        "batch=1,length=p95,threads=1,runtime=onnx (41 tokens)",
        "autokd export pydocs-2026 --format onnx-int8 --output my-student",
    ):
        assert expected in words


def test_a_metric_of_the_user_is_called_by_its_function(deployed_result: StudyResult) -> None:
    settings = replace(deployed_result.settings, metric="/home/me/mine.py:within_one@0123456789ab")
    page = render(replace(deployed_result, settings=settings))
    assert "test within_one" in page
    assert "test /home" not in page
    assert "/home/me/mine.py:within_one@0123456789ab" in page


def test_a_study_from_before_there_was_deploying_shows_no_empty_columns(result: StudyResult) -> None:
    words = _Reader(render(result)).words
    assert "Deployment" not in words
    assert "speedup" not in words
    assert "latency" not in words


def test_every_trial_has_its_whole_pipeline(result: StudyResult) -> None:
    shown = [json.loads(words) for words in _Reader(render(result)).words if words.startswith("{")]
    assert shown == [record.pipeline for record in result.records]


def test_texts_from_outside_cannot_become_markup(result: StudyResult) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    records = tuple(replace(record, error=evil) for record in result.records)
    settings = replace(result.settings, study=evil, command=evil, space_text=evil, metric=evil)
    page = render(replace(result, settings=settings, records=records, notes=(evil,), importances={evil: {evil: 1.0}}))
    reader = _Reader(page)
    assert reader.open == []
    assert "<img" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not any(script == "alert(1)" for script in reader.scripts)


def test_a_study_without_a_single_trial_still_has_a_page(result: StudyResult) -> None:
    page = render(
        replace(result, records=(), front=(), controls=(), teacher=None, importances={}, spent={}, shared_seconds=0.0)
    )
    assert "No student has been confirmed yet" in page
    assert "plotly.js v" not in page


def test_writing_replaces_the_file_at_once_and_leaves_nothing_else(result: StudyResult, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "report.html"
    assert write(result, output) == output
    first = output.read_text(encoding="utf-8")
    assert write(result, output) == output
    assert output.read_text(encoding="utf-8") == first
    assert list(output.parent.iterdir()) == [output]


def test_the_default_path_is_one_file_name_whatever_the_study_is_called() -> None:
    assert default_path("../a b") == Path("reports/..-a-b.html")
