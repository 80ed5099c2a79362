"""How long measuring jobs will take, before one of them has run in the study: exports, scoring, timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

# Measured on one core of a small server, in seconds: start, exports and quantising of a student and its teacher ...
_DEPLOY_FIXED, _LATENCY_FIXED = 20.0, 10.0
_DEPLOY_TIMING, _LATENCY_TIMING = 12.0, 6.0  # ... the timing itself, where calls are quick ...
_GRAPH_FIXED, _GRAPH_TIMING = 3.0, 3.0  # ... both of a graph network, which is not exported ...
_LEAST_CALLS = 11  # ... the calls of each runtime where they are not ...
_SECONDS_PER_MAC = 3e-11  # ... and what a multiply-accumulate takes in the slowest runtime, forward only.
_STUDENT_RUNTIMES, _TEACHER_RUNTIMES = 4, 2
_FIRST_MARGIN, _MARGIN = 1.3, 1.1  # of a forecast that nothing was learnt for, and of one that a job has put right


@dataclass(frozen=True)
class BenchWork:
    """What decides how long measuring takes. ``rows`` are those that a deployment scores (validation and test);
    ``macs`` and ``teacher_macs`` multiply-accumulates of one row, ``call`` the rows that one timed call is worth.
    """

    rows: int
    macs: float
    teacher_macs: float
    call: float = 1.0


def deploy_seconds(work: BenchWork) -> float:
    """Wall seconds of deploying one checkpoint on one core: exports, every row in every runtime, timing."""
    scoring = _STUDENT_RUNTIMES * work.rows * work.macs * _SECONDS_PER_MAC
    return _DEPLOY_FIXED + scoring + max(_DEPLOY_TIMING, _slow_calls(work, _STUDENT_RUNTIMES))


def graph_deploy_seconds(work: BenchWork) -> float:
    """The same of a graph network, which has one form and is quick to time."""
    scoring = work.rows * work.macs * _SECONDS_PER_MAC
    return _GRAPH_FIXED + scoring + max(_GRAPH_TIMING, _slow_calls(work, 1))


def latency_seconds(work: BenchWork) -> float:
    """Wall seconds of timing one shape beside its teacher on one core."""
    return _LATENCY_FIXED + max(_LATENCY_TIMING, _slow_calls(work, 1))


def corrected(forecast: float, surprises: Sequence[float]) -> float:
    """A forecast with a margin, put right by what the study's jobs of this kind took over theirs."""
    return forecast * (_MARGIN * fmean(surprises) if surprises else _FIRST_MARGIN)


def _slow_calls(work: BenchWork, runtimes: int) -> float:
    """Seconds of the fewest calls that a timing makes."""
    macs = runtimes * work.macs + _TEACHER_RUNTIMES * work.teacher_macs
    return _LEAST_CALLS * work.call * macs * _SECONDS_PER_MAC
