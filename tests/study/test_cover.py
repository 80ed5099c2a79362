"""A covering set: pipelines that together use every method of a space."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autokd.core.settings import DataSource
from autokd.models.tiny import tiny_checkpoint
from autokd.space import Space
from autokd.space.library import find_space
from autokd.study.appraise import PipelineAppraiser
from autokd.study.cover import Cover, covering
from autokd.study.dry_run import plan
from autokd.study.prepare import Request, prepare
from autokd.study.study import search

WORDS = {"no": "red green blue", "yes": "alpha beta gamma"}
ROWS = [(f"{WORDS[label].split()[i % 3]} is word {i}", label) for i in range(40) for label in WORDS]
NOT_AT_HAND = {"basics:LoadStudent", "distiller:BackTranslation", "distiller:ContextualSubstitution"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("cover")
    (found / "d.csv").write_text("\n".join(["text,label", *(",".join(row) for row in ROWS)]) + "\n")
    tiny_checkpoint(found / "teacher", [text for text, _ in ROWS])
    return found


def request(folder: Path, **changes: Any) -> Request:
    given = {"budget": "20trials", "teacher": str(folder / "teacher"), "storage": f"sqlite:///{folder / 's.db'}"}
    return Request(**{"data": DataSource(str(folder / "d.csv")), "max_length": 12, "workers": 1, **given, **changes})


@pytest.fixture(scope="module")
def appraiser(folder: Path) -> PipelineAppraiser:
    return PipelineAppraiser(prepare(request(folder)).settings, folder / "cache")


def space(name: str) -> Space:
    return Space.parse(find_space(name)[1], name)


def uses(value: Any) -> Iterator[str]:
    found = json.dumps(value).split('"use": "')[1:]
    return (part.partition('"')[0] for part in found)


def covered(cover: Cover) -> set[str]:
    return {use for _, appraisal in cover.chosen for use in uses(appraisal.pipeline)}


@pytest.mark.parametrize("name", ["basics", "full", "distiller"])
def test_every_method_of_a_space_is_in_a_pipeline_or_named_as_missed(name: str, appraiser: PipelineAppraiser) -> None:
    cover = covering(space(name), appraiser)
    assert set(cover.missed) <= NOT_AT_HAND
    assert covered(cover) >= space(name).uses() - set(cover.missed)
    assert not covered(cover) & set(cover.missed)
    for params, appraisal in cover.chosen:
        assert space(name).active(params) == tuple(params)
        assert appraiser.appraise(space(name).decode(params)).content == appraisal.content


def test_a_covering_set_is_much_smaller_than_the_space_has_methods(appraiser: PipelineAppraiser) -> None:
    cover = covering(space("full"), appraiser)
    assert len(cover.chosen) <= len(covered(cover)) / 2
    for own, _ in cover.chosen:  # none is in vain: each has a method of its own
        others = {use for params, found in cover.chosen if params != own for use in uses(found.pipeline)}
        assert covered(cover) - others


def test_the_same_space_is_always_covered_alike(appraiser: PipelineAppraiser) -> None:
    first, second = (covering(space("full"), appraiser) for _ in range(2))
    assert [params for params, _ in first.chosen] == [params for params, _ in second.chosen]


def test_ranges_are_met_in_their_middle(appraiser: PipelineAppraiser) -> None:
    cover = covering(space("full"), appraiser)
    rates = [params["lr"] for params, _ in cover.chosen if "lr" in params]
    assert rates == pytest.approx([(3e-5 * 5e-4) ** 0.5] * len(rates))


def test_a_search_says_how_many_it_begins_with_and_what_it_cannot_use(folder: Path) -> None:
    notes = prepare(request(folder, study="told", cover=True)).notes
    assert any(note.startswith("Begins with 8 pipelines") for note in notes)
    assert any(note.startswith("No pipeline of this study can use") and "LoadStudent" in note for note in notes)
    assert prepare(request(folder, study="plain")).begins == ()


def test_a_dry_run_shows_them_first(folder: Path) -> None:
    asked = request(folder, study="planned", cover=True)
    found = plan(asked, n_pipelines=9).pipelines
    begins = [pipeline for _, pipeline in prepare(asked).begins]
    assert list(found[:8]) == begins
    assert found[8] not in begins


def test_a_search_begins_with_its_covering_set_and_no_trial_fails(folder: Path) -> None:
    asked = request(folder, study="covered", cover=True, budget="8trials")
    begins = [params for params, _ in prepare(asked).begins]
    study = search(
        asked.data,
        asked.budget,
        teacher=asked.teacher,
        storage=asked.storage,
        study=asked.study,
        cover=True,
        max_length=12,
        workers=1,
        runner="pool",
    )
    tried = [record for record in study.records if record.role == "enqueued"]
    assert [record.params for record in tried] == begins
    assert {record.state for record in study.records} == {"complete"}
