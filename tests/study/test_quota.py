from __future__ import annotations

from autokd.core.record import TrialRecord
from autokd.study.quota import spare


def trial(number: int, state: str = "complete", role: str = "search", **fields: object) -> TrialRecord:
    return TrialRecord(number, state, role, {}, **fields)  # type: ignore[arg-type]


def test_a_complete_trial_off_the_frontier_and_a_failed_one_may_go() -> None:
    assert spare([trial(0), trial(1), trial(2, "failed")], kept={1}) == {0, 2}


def test_what_runs_rests_or_was_pruned_stays() -> None:
    assert spare([trial(0, "running"), trial(1, "paused"), trial(2, "pruned")], kept=()) == set()


def test_controls_and_other_seeds_stay_but_failed_ones_may_go() -> None:
    records = [
        trial(0),
        trial(1, role="control", confirms=0),
        trial(2, role="confirm", confirms=0, replicate=1),
        trial(3, "failed", role="control", confirms=0),
    ]
    assert spare(records, kept=()) == {0, 3}


def test_a_confirmed_trials_folder_is_that_of_its_first_seed() -> None:
    records = [trial(0), trial(1, role="confirm", confirms=0, replicate=0)]
    assert spare(records, kept=()) == set()
    failed = [trial(0), trial(1, "failed", role="confirm", confirms=0, replicate=0)]
    assert spare(failed, kept={0}) == set()


def test_a_continued_trial_keeps_the_folder_it_began_in() -> None:
    records = [trial(0, "pruned"), trial(1, "running", continues=0)]
    assert spare(records, kept=()) == set()
    ended = [trial(0, "failed"), trial(1, continues=0)]
    assert spare(ended, kept={1}) == set()
