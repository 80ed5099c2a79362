"""The worker's side: one job, from JSON to what was measured."""

from autokd.runner.jobs import read_result, run_job
from autokd.runner.prefix import is_made, prefix_key, prefix_ready

__all__ = ["is_made", "prefix_key", "prefix_ready", "read_result", "run_job"]
