"""What ``search --dry-run`` prints: what a search would do, and what it would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autokd.cli.output import counted, print_table, say, seconds
from autokd.report.pipelines import one_line, varying
from autokd.report.quantities import size

if TYPE_CHECKING:
    from autokd.study.dry_run import Plan


def print_plan(plan: Plan) -> None:
    """The plan for people; times are device time: devices x seconds."""
    click.echo(f"{plan.study}: {plan.dataset} ({plan.metric}), teacher {', '.join(plan.teachers)}, space {plan.space}")
    click.echo(f"budget {plan.budget} for {counted(plan.workers, 'worker')} on {plan.device}\n")
    print_table(["what", "device time", ""], _rows(plan))
    click.echo(f"\nsearch trials that fit: about {plan.n_trials}")
    click.echo(f"disk: about {size(plan.disk_bytes)}; memory of all workers: about {size(plan.memory_bytes)}")
    click.echo(f"stages: {' → '.join(plan.stages)}")
    shown = varying(plan.pipelines)
    click.echo("\nfirst pipelines:")
    for index, pipeline in enumerate(plan.pipelines, start=1):
        click.echo(f"  {index}. {one_line(pipeline, shown)}")
    for note in plan.notes:
        say(f"note: {note}")
    say("Nothing was written. Leave out --dry-run to search.")


def _rows(plan: Plan) -> list[list[str]]:
    teacher = "fine-tuned once, shared by all trials" if plan.teacher_seconds else "already fine-tuned"
    known = [
        ("teacher", plan.teacher_seconds, teacher),
        ("cheapest trial", plan.cheapest_seconds, ""),
        ("typical trial", plan.typical_seconds, ""),
        ("dearest trial", plan.dearest_seconds, ""),
        ("confirming", plan.confirm_seconds, "further seeds of the finalists, and the controls"),
        ("deploying", plan.deploy_seconds, "exports, scores and timings of the finalists"),
    ]
    rows = [[name, seconds(value), told] for name, value, told in known]
    return rows if plan.budget_seconds is None else [["budget", seconds(plan.budget_seconds), ""], *rows]
