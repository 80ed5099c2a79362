"""Shared stages that cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from autokd.core.budget import Budget
from autokd.core.errors import BudgetError
from autokd.core.job import Outcome
from autokd.space import Space
from autokd.study.accounts import Accounts
from autokd.study.candidates import Candidates
from autokd.study.jobs import JobMaker
from autokd.study.ledger import Spent
from autokd.study.memory import Memory
from autokd.study.parts import Parts
from autokd.study.prefixes import MARGIN, Prefixes
from autokd.study.timed_on import TimedOn
from autokd.testing.toy import ToyAppraiser

PIPELINE = {"stages": [{"use": "toy:Teacher"}, {"use": "toy:Train", "layers": 2}]}


@pytest.fixture
def parts(toy: Callable[..., Any]) -> Parts:
    made = toy("2cpu-min")
    store, places = made.store, made.places
    appraiser = ToyAppraiser(store.settings, places.cache)
    candidates = Candidates(Space.parse(store.settings.space_text, "toy"), store.settings, appraiser)
    accounts = Accounts(Budget.parse("2cpu-min"), 2.0, made.clock, Spent())
    maker, memory = JobMaker(store.settings, places, appraiser), Memory(store)
    return Parts(store, memory, accounts, candidates, maker, TimedOn(memory, "here"))


def stopped_at_its_deadline(parts: Parts, prefixes: Prefixes) -> None:
    job = prefixes.start(parts.appraiser.appraise(PIPELINE))
    assert job is not None
    flight, _ = parts.accounts.land(job.id)
    prefixes.done(flight, Outcome("paused", 50.0), 50.0, stopping=False)


def test_a_first_teacher_over_its_deadline_is_an_error_of_the_budget(parts: Parts) -> None:
    with pytest.raises(BudgetError, match="does not hold the teacher"):
        stopped_at_its_deadline(parts, Prefixes(parts))


def test_a_longer_prefix_costs_what_it_adds(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.accounts.probe = 1.0
    parts.accounts.learn(())
    prefixes, toy = Prefixes(parts), parts.appraiser.appraise(PIPELINE)
    both = replace(toy, prefix="long", prefix_macs=30.0, prefix_parts=(("short", 10.0), ("long", 20.0)))
    assert prefixes.cost(both) == pytest.approx(MARGIN * parts.accounts.cost(30.0))
    monkeypatch.setattr(type(parts.appraiser), "prefix_ready", lambda self, name: name == "short")
    assert prefixes.cost(both) == pytest.approx(MARGIN * parts.accounts.cost(20.0))
    assert prefixes.cost(both) < prefixes.cost(replace(both, prefix_parts=()))


def test_a_later_teacher_over_its_deadline_is_left_out(parts: Parts) -> None:
    parts.memory.keep_prefix("another", "another-base", Outcome("complete", 9.0, values={"valid_score": 0.9}), 9.0)
    prefixes, appraisal = Prefixes(parts), parts.appraiser.appraise(PIPELINE)
    stopped_at_its_deadline(parts, prefixes)
    assert prefixes.broken(appraisal)
    assert not prefixes.broken(replace(appraisal, prefix="another"))
    assert any("toy-base" in note and "50 device seconds" in note for note in parts.memory.notes)
