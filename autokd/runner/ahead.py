"""A supernet made ahead of all studies: from a pretrained teacher and texts of no task, within a budget of time."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autokd.build import build
from autokd.contracts import Context, Rows, Slot
from autokd.core.canonical import digest
from autokd.core.errors import AutokdError, BudgetError, Paused, SpecError, UsageError
from autokd.core.json_files import write_json
from autokd.core.seeds import Seeds
from autokd.core.task import Split, Task, without_labels
from autokd.engine.precision import dtype_of, set_threads
from autokd.engine.rows import encode
from autokd.methods.basics.supernets import SupernetTraining
from autokd.models.bases import is_encoder, load_base
from autokd.models.folders import folder_content
from autokd.models.supernet import supernet_of
from autokd.models.supernet_folder import save_supernet
from autokd.runner.workspace import job_device
from autokd.tasks.corpus import read_corpus

_HELD_OUT = 256  # texts at most, and a tenth of them at most
_TIMED_STEPS = 6
_SHARE_TRAINED = 0.9  # of the time that is left goes to steps, the rest to scores, saves and surprises


@dataclass(frozen=True)
class Order:
    """What to make. ``stage``: the JSON of a stage that trains supernets, whose epochs the time decides, at most
    ``epochs``; ``teacher``: the folder of an encoder; ``seconds``: wall time in all, of ``threads`` threads."""

    stage: Mapping[str, Any]
    teacher: str
    corpus: str
    output: str
    seconds: float
    max_length: int = 128
    seed: int = 0
    precision: str = "float32"
    device: str = "cpu"
    threads: int = 1
    epochs: float = math.inf

    @property
    def work(self) -> Path:
        """Where an interrupted run leaves what it has."""
        output = Path(self.output)
        return output.with_name(f".{output.name}.work")


@dataclass(frozen=True)
class Made:
    """A finished supernet: how many sub-networks, parameters of the smallest and the largest, and the mean of their
    held-out losses."""

    folder: str
    n_subnets: int
    params: tuple[int, int]
    loss: float
    steps: int
    rows: int


@dataclass(frozen=True)
class Ready:
    """What an order's supernet is trained with: its teacher, the corpus as a task, and its tokens."""

    order: Order
    stage: SupernetTraining
    teacher: Slot
    task: Task
    trained: Rows
    held_out: Rows

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.trained) // self.stage.batch_size)

    def context(self, folder: Path, report: Callable[[int, float], None], should_pause: Callable[[], bool]) -> Context:
        """What a loop on the corpus may know; ``folder`` is where it saves itself."""
        order, task = self.order, self.task

        def rows(split: str, slot: Slot) -> Rows:
            return encode(getattr(task, split), slot.tokenizer, order.max_length, task.problem)

        return Context(
            task=task,
            rows=rows,
            encode=lambda split, slot: encode(split, slot.tokenizer, order.max_length, task.problem),
            base=lambda name, seeds: load_base(order.teacher, 1, seeds),
            seeds=Seeds(order.seed, str(order.stage["use"])),
            folder=folder,
            cache=order.work,
            device=job_device(order.device),
            precision=dtype_of(order.precision),
            report=report,
            should_pause=should_pause,
        )


def prepare(order: Order) -> Ready:
    """Load and tokenise. Raises SpecError and UsageError for a stage, a teacher or a corpus that cannot serve."""
    stage, teacher, task = _stage(order), _teacher(order), _texts(order)
    rows = [encode(split, teacher.tokenizer, order.max_length, task.problem) for split in (task.train, task.valid)]
    return Ready(order, stage, teacher, task, *rows)


def make_supernet(order: Order, report: Callable[[int, int, float], None]) -> Made:
    """Train and write a supernet, or go on with one that was interrupted.

    ``report(step, n_steps, loss)``: the mean held-out loss of the smallest and the largest sub-network. Raises
    UsageError for an ``output`` that holds files or whose work is another's, BudgetError where the time holds no step,
    AutokdError where it ends before the last one.
    """
    began = time.monotonic()
    set_threads(order.threads)
    _require_new(Path(order.output))
    ready = prepare(order)
    steps = _planned(ready, began)
    last = [0.0]

    def told(step: int, score: float) -> None:
        last[0] = -score
        report(step, steps, -score)

    ctx = ready.context(order.work / "loop", told, lambda: time.monotonic() - began >= order.seconds)
    try:
        slot = _learnt(ready, steps, ctx)
    except Paused as paused:
        raise AutokdError(f"the budget ended {paused}; the same command goes on from there.") from None
    rows = len(ready.trained)
    facts = {"steps": steps, "rows": rows, "corpus": Path(order.corpus).name, "seed": order.seed}
    save_supernet(slot, ready.teacher, Path(order.output), {**facts, "stage": dict(order.stage)})
    shutil.rmtree(order.work)
    return _made(order, slot, steps, rows, last[0])


def _learnt(ready: Ready, steps: int, ctx: Context) -> Slot:
    stage = replace(ready.stage, epochs=steps / ready.steps_per_epoch)
    return stage.learnt(ready.teacher, ready.trained, ready.held_out, ctx)


def _made(order: Order, slot: Slot, steps: int, rows: int, loss: float) -> Made:
    network = supernet_of(slot)
    ends = (network.subspace.smallest, network.subspace.largest)
    params = tuple(each.shape(network.shape).params() for each in ends)
    n_subnets = len(network.subspace.architectures())
    return Made(str(Path(order.output).resolve()), n_subnets, (params[0], params[1]), loss, steps, rows)


def _stage(order: Order) -> SupernetTraining:
    stage = build(order.stage)
    if not isinstance(stage, SupernetTraining):
        raise SpecError(f"a supernet is made by a stage that trains one, but got {order.stage.get('use')!r}.")
    return stage


def _require_new(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"the folder for a supernet must be new or empty, but {str(output)!r} is not.")


def _teacher(order: Order) -> Slot:
    if not is_encoder(order.teacher):
        raise UsageError("a supernet is cut from a BERT, RoBERTa, DistilBERT or ELECTRA; other teachers cannot be.")
    return load_base(order.teacher, 1, Seeds(order.seed))


def _texts(order: Order) -> Task:
    """The corpus as a task that nobody has: rows without labels, of which some, evenly spread, are held out."""
    texts = read_corpus(Path(order.corpus))
    if len(texts) < 2:
        raise UsageError(f"a corpus has two texts at least, one to be held out, but {order.corpus!r} has one.")
    count = max(1, min(_HELD_OUT, len(texts) // 10))
    places = {i * len(texts) // count for i in range(count)}
    held = tuple(text for i, text in enumerate(texts) if i in places)
    kept = tuple(text for i, text in enumerate(texts) if i not in places)

    def split(of: tuple[str, ...]) -> Split:
        return without_labels(of, None, "regression")

    return Task(Path(order.corpus).name, split(kept), split(held), split(held), (), "regression", "pearson")


def _planned(ready: Ready, began: float) -> int:
    """How many steps to make in all: what the time held when the run began, whatever it holds when it goes on."""
    order = ready.order
    # What may change between two runs of one supernet: where things lie, and how long and on how many threads it runs.
    same = replace(order, teacher="", corpus="", output="", seconds=0.0, epochs=0.0, threads=1)
    plan = order.work / "plan.json"
    key = digest([asdict(same), folder_content(order.teacher), ready.task.train.text_a])
    if plan.is_file():
        told = json.loads(plan.read_text(encoding="utf-8"))
        if told["key"] != key:
            raise UsageError(f"{str(order.work)!r} holds another supernet's work; remove it, or name another --output.")
        return int(told["steps"])
    each = seconds_per_step(ready, _TIMED_STEPS)
    held = _SHARE_TRAINED * (order.seconds - (time.monotonic() - began)) / each
    if held < 1:
        raise BudgetError(
            f"a budget holds a step at least, which takes {each:.1f} seconds here, but this one does not."
        )
    steps = max(1, int(min(held, order.epochs * ready.steps_per_epoch)))
    order.work.mkdir(parents=True, exist_ok=True)
    write_json(plan, {"key": key, "steps": steps})
    return steps


def seconds_per_step(ready: Ready, count: int) -> float:
    """From so many steps, and one to warm up, whose result is thrown away."""
    stamps: list[float] = []

    def looked() -> bool:
        stamps.append(time.monotonic())
        return len(stamps) > count

    with tempfile.TemporaryDirectory(prefix="autokd-supernet-") as folder, suppress(Paused):
        _learnt(ready, count + 1, ready.context(Path(folder), lambda step, score: None, looked))
    return (stamps[-1] - stamps[1]) / (len(stamps) - 2)
