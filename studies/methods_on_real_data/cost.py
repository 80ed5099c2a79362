"""What each objective, hook, optimizer and augmenter costs per training step, relative to logits KD, in one run.

    python studies/methods_on_real_data/cost.py

One student (3 of MiniLM's layers) on MRPC, one thread. Arms take turns; a step's time is that between the ends of two
optimizer steps, so that it holds the batch, the passes, the terms, the hook and the optimizer. Medians over all steps
but each turn's first. Writes ``cost.md``.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import torch  # noqa: E402
from arms import HIDDEN_MSE, LABELS, LOGITS, Setting, distil  # noqa: E402
from plan import Cell, Run  # noqa: E402
from trainings.tables import table  # noqa: E402
from trainings.work import Place, specified  # noqa: E402

from autokd import build  # noqa: E402
from autokd.contracts import Context, Facts, Models, OptimizerMethod, ParameterGroup  # noqa: E402
from autokd.core.job import Job  # noqa: E402
from autokd.engine.precision import set_threads  # noqa: E402
from autokd.methods.basics import Distil  # noqa: E402
from autokd.methods.ted import LearnFilters  # noqa: E402
from autokd.pipeline import Pipeline  # noqa: E402
from autokd.runner import run_job  # noqa: E402
from autokd.runner.prefix import load_prefix  # noqa: E402
from autokd.runner.workspace import Workspace  # noqa: E402

ROWS, TURNS = 256, 3
SETTING = Setting(regression=False, epochs=1.0, lr=1e-4, batch_size=32)
MI = {"use": "mi_alpha:MutualInformation"}


def _with(*more: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return distil(SETTING, LOGITS, *more, **fields)


def _hook(use: str, **fields: Any) -> dict[str, Any]:
    return _with(hooks=[{"use": use, **fields}])


def _map(use: str, layers: str, **fields: Any) -> dict[str, Any]:
    return _with({"use": use, "layers": layers, **fields})


ARMS: Mapping[str, dict[str, Any]] = {
    "logits KD": _with(),
    "labels alone": distil(SETTING, LABELS),
    "+ labels": _with(LABELS),
    **{f"+ hidden MSE, {layers}": _with({**HIDDEN_MSE, "layers": layers}) for layers in ("skip", "emd")},
    **{f"+ cosine, {layers}": _map("distiller:Cosine", layers) for layers in ("skip", "emd")},
    **{f"+ PKD, {layers}": _map("distiller:PKD", layers) for layers in ("skip", "emd")},
    **{f"+ hidden CE, {layers}": _map("distiller:HiddenCE", layers) for layers in ("skip", "emd")},
    **{f"+ MI-alpha, {critic}": _with({**MI, "critic": critic}) for critic in ("mlp", "transformer")},
    "+ TED's projection": _with({"use": "ted:ProjectedHidden"}),
    "+ TED's filters": _with({"use": "ted:FilteredHidden"}),
    "+ relations": _with({"use": "basics:Relations"}),
    "magnitude pruning": _hook("basics:MagnitudePruning", sparsity=0.8),
    **{f"{score}, 80 %": _hook("platon:Platon", keep=0.2, score=score) for score in ("platon", "sensitivity")},
    "platon, structured 50 %": _hook("platon:StructuredPlaton", keep=0.5),
    "AdaShift, max": _with(optimizer={"use": "adashift:AdaShift"}),
    "AdaShift, none": _with(optimizer={"use": "adashift:AdaShift", "phi": "none"}),
    "word swap": _with(augmenters=[{"use": "basics:WordSwap"}]),
    "mixup": _with(augmenters=[{"use": "basics:Mixup"}]),
}


@dataclass(frozen=True)
class Stamped:
    """An optimizer whose steps are stamped."""

    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()

    method: OptimizerMethod
    stamps: list[float]

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        optimizer = self.method.build(groups)
        optimizer.register_step_post_hook(lambda *_: self.stamps.append(time.perf_counter()))
        return optimizer


def step_seconds(stage: Distil, models: Models, ctx: Context) -> list[float]:
    """The times between the ends of this run's steps."""
    stamps: list[float] = []
    replace(stage, optimizer=Stamped(stage.optimizer, stamps)).run(models, ctx)
    return [later - earlier for earlier, later in pairwise(stamps)]


def prepared(folder: Path) -> tuple[Workspace, Models]:
    """The teacher, the student that all arms start from, and TED's filters for both."""
    run = Run(Cell("mrpc", ROWS, 1.0), "logits KD", SETTING.lr, 0)
    spec = specified(run, Place(str(folder), "cpu", 1))
    made = run_job(Job("teacher", "prefix", spec, str(folder / "teacher"), float("inf")), lambda _: None)
    if made.state != "complete":
        raise SystemExit(made.error)
    workspace = Workspace(spec, torch.device("cpu"))
    models, _ = load_prefix(spec)
    cut = Pipeline.from_json(spec.pipeline).stages[1]
    started = cut.run(models, context(workspace, folder / "cut"))
    return workspace, LearnFilters(epochs=1, batch_size=32).run(started, context(workspace, folder / "filters"))


def context(workspace: Workspace, folder: Path) -> Context:
    """A stage's context; no validation is timed, because an epoch's last step is the loop's."""
    return workspace.context(
        "basics:Distil", folder, replicate=0, report=lambda step, score: None, should_pause=lambda: False
    )


def main() -> None:
    set_threads(1)
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    with tempfile.TemporaryDirectory() as root:
        workspace, models = prepared(Path(root))
        stages = {name: build.build(stage) for name, stage in ARMS.items()}
        for turn in range(TURNS):
            for i, (name, stage) in enumerate(stages.items()):
                assert isinstance(stage, Distil)
                seconds = step_seconds(stage, models, context(workspace, Path(root) / f"{turn}-{i}"))
                found[name] += seconds[1:]
                print(f"turn {turn + 1}, {name}: {1000 * statistics.median(seconds):.0f} ms", flush=True)
    base = statistics.median(found["logits KD"])
    rows = [[name, f"{statistics.median(t) / base:.2f}", str(len(t))] for name, t in found.items()]
    page = (
        "# Cost per step\n\nMRPC, batch 32, a student of 3 of MiniLM's layers, one thread; medians, relative to logits "
        f"KD in the same run ({1000 * base:.0f} ms a step here). The teacher's outputs are cached but for mixup, which "
        f"doubles the rows.\n\n{table(['arm', 'time / logits KD', 'steps'], rows)}\n"
    )
    (HERE / "cost.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
