"""From the measured values to a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ideal import OWN
from plan import ARMS, DROPOUT, LEARNING_RATE, TEMPERATURE

FLOAT32, BF16 = "Trainer float32", "Trainer bf16"


@dataclass(frozen=True)
class Goal:
    """Arm ``name`` is to be ``factor`` times as fast as ``than``, or (``than`` empty) to reach a share of the ideal."""

    name: str
    than: str
    factor: float


GOALS = (
    Goal("autokd float32", FLOAT32, 5),
    Goal("autokd bf16", BF16, 5),
    Goal("autokd bf16, batch 32", BF16, 7),
    Goal("autokd bf16, 2 processes", FLOAT32, 11),
    Goal("autokd bf16", "", 0.5),
    Goal("autokd bf16, batch 32", "", 0.58),
)


def page(found: dict[str, Any]) -> str:
    """The whole page."""
    cells = found["speed"]["cells"]
    parts = [_head(found), _goals(cells[0]), _caches(found["speed"]["teacher_cache_seconds"]), *map(_cell, cells)]
    return "\n\n".join([*parts, _quality(found["quality"]), _check(cells)]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names."""
    top, *body = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([top, "|---|" + "---:|" * (len(head) - 1), *body])


def _head(found: dict[str, Any]) -> str:
    machine = found["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"# Engine speed\n\n{machine['cpu']}, {machine['cores']} cores; Python {machine['python']}, {packages}. "
        f"Load before the run {machine['load_before']:.2f}; the run took {found['seconds']} s.\n\n"
        f"Recipe: MiniLM teacher, logits KL (T = {TEMPERATURE:g}) and hidden MSE, batch 16, dropout {DROPOUT:g}, "
        f"AdamW at {LEARNING_RATE:g}, clipped at norm 1; every repetition trains all arms on the same rows."
    )


def _goals(cell: dict[str, Any]) -> str:
    rows = []
    for goal in GOALS:
        arm = cell["arms"][goal.name]
        if goal.than:
            unit, form, what = 1 / cell["arms"][goal.than]["rate"], "{:.2f}x", f"{goal.name} against {goal.than}"
        else:
            unit, form, what = arm["share"] / arm["rate"], "{:.0%}", f"{goal.name}, share of the ideal"
        reached, most = arm["rate"] * unit, arm["products_rate"] * unit
        changed = next(arm.recipe_changes for arm in ARMS if arm.name == goal.name)
        told = [form.format(value) for value in (goal.factor, reached, most)]
        rows.append([what, changed or "none", *told, "yes" if reached >= goal.factor else "no"])
    head = ["what", "recipe changes", "goal", "reached", "products alone", "met"]
    return f"## Goals ({cell['task']}, {cell['layers']} layers)\n\n" + table(head, rows)


def _caches(seconds: dict[str, dict[str, float]]) -> str:
    tasks = list(next(iter(seconds.values())))
    rows = [[name, *[f"{taken[task]:.1f}" for task in tasks]] for name, taken in seconds.items()]
    return (
        "## Teacher outputs\n\nTrainer and TextBrewer run the teacher in every step. autokd computes its outputs for "
        "all training rows once per study and precision; that is not in the rates below and takes these seconds:\n\n"
        + table(["for", *tasks], rows)
    )


def _cell(cell: dict[str, Any]) -> str:
    base, half = (cell["arms"][name]["rate"] for name in (FLOAT32, BF16))
    rows = []
    for arm in ARMS:
        if arm.name not in cell["arms"]:
            continue
        told = cell["arms"][arm.name]
        rates = [run["rate"] for run in told["runs"]]
        rows.append(
            [
                arm.name,
                f"{arm.processes} x {arm.threads}",
                arm.recipe_changes or "none",
                f"{told['rate']:.1f} ({min(rates):.1f} to {max(rates):.1f})",
                f"{told['rate'] / base:.2f}",
                f"{told['rate'] / half:.2f}",
                f"{told['share']:.0%}",
                f"{told['rate'] / told['products_rate']:.0%}" if "products_rate" in told else "",
                f"{told['peak_mb']:.0f}",
                f"{told['beyond_s']:.2f}",
            ]
        )
    head = ["arm", "processes x threads", "recipe changes", "samples/s (range)", f"x {FLOAT32}", f"x {BF16}"]
    head += ["share of ideal", "of products alone", "peak MB", "s beyond steps"]
    products = " and ".join(
        f"{max(rates) / 1e9:.0f} GFLOP/s in {name} ({max(rates[: len(OWN)]) / 1e9:.0f} at the student's own shapes)"
        for name, rates in cell["matmul_flops"].items()
    )
    return (
        f"## {cell['task']}, {cell['layers']} layers\n\nMean length {cell['mean_length']:.1f} tokens; "
        f"medians of {len(rates)} repetitions of {cell['rows']} rows. "
        f"This machine multiplies matrices at up to {products}.\n\n" + table(head, rows)
    )


def _quality(quality: dict[str, Any]) -> str:
    rows = []
    for name, values in quality["arms"].items():
        arm = next(arm for arm in ARMS if arm.name == name)
        apart = f"{values['difference']:+.4f} [{values['difference_low']:+.4f}, {values['difference_high']:+.4f}]"
        rows.append(
            [
                name,
                arm.recipe_changes or "none",
                ", ".join(f"{score:.4f}" for score in values["scores"]),
                f"{values['mean']:.4f} [{values['low']:.4f}, {values['high']:.4f}]",
                "reference" if name == quality["reference"] else apart,
            ]
        )
    return (
        f"## Quality\n\n{quality['task']}, {quality['layers']} layers, {quality['train_rows']} training rows, "
        f"{quality['epochs']} epochs: accuracy on {quality['dev_rows']} dev rows, one score a seed; means with 95 % "
        f"bootstrap intervals over seeds and rows, and the difference to {quality['reference']} with rows paired.\n\n"
        + table(["arm", "recipe changes", "scores", "mean", "difference"], rows)
    )


def _check(cells: Sequence[dict[str, Any]]) -> str:
    rows = [
        [f"{cell['task']}, {cell['layers']} layers", name, *[f"{loss:.6f}" for loss in losses]]
        for cell in cells
        for name, losses in cell["check"].items()
    ]
    steps = max(len(row) for row in rows) - 2
    return (
        "## The same recipe?\n\nLosses of full-batch steps on the same 16 rows from the same weights, dropout off. The "
        "run stops where a loss differs by more than the precision explains (frozen embeddings: the first only).\n\n"
        + table(["cell", "arm", *[f"step {i + 1}" for i in range(steps)]], rows)
    )
