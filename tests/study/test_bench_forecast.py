"""Forecasts of exports, scoring and timing, in plain numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autokd.study.bench_forecast import BenchWork, corrected, deploy_seconds, graph_deploy_seconds, latency_seconds

SMALL = BenchWork(rows=1_000, macs=1e8, teacher_macs=3e8)


def test_scoring_grows_with_the_rows_and_with_the_network() -> None:
    more = replace(SMALL, rows=11_000)
    per_row = (deploy_seconds(more) - deploy_seconds(SMALL)) / 10_000
    assert per_row == pytest.approx(4 * 1e8 * 3e-11)  # four runtimes read every row
    assert deploy_seconds(replace(SMALL, macs=1e9)) > deploy_seconds(SMALL)
    assert latency_seconds(more) == latency_seconds(SMALL)  # which scores nothing


def test_calls_of_large_batches_take_longer_than_a_timing_of_small_ones() -> None:
    large = replace(SMALL, call=64.0, teacher_macs=1e10)
    assert deploy_seconds(large) > deploy_seconds(replace(SMALL, teacher_macs=1e10)) + 100
    assert latency_seconds(large) > latency_seconds(SMALL) + 100


def test_a_graph_network_has_one_form_and_a_call_is_a_whole_pass() -> None:
    small = BenchWork(rows=2 * 2_700, macs=1e4, teacher_macs=1e5, call=2_700)
    assert graph_deploy_seconds(small) < 7 < deploy_seconds(small)
    more = replace(small, rows=10**7 + small.rows)
    assert graph_deploy_seconds(more) - graph_deploy_seconds(small) == pytest.approx(1e7 * 1e4 * 3e-11)
    assert graph_deploy_seconds(replace(small, call=1e6)) > graph_deploy_seconds(small) + 50


def test_what_jobs_took_puts_the_forecast_right() -> None:
    assert corrected(40.0, ()) > 40.0
    assert corrected(40.0, (2.0, 3.0)) == pytest.approx(1.1 * 2.5 * 40.0)
