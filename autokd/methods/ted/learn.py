"""TED's first stage: filters that learn, layer by layer, what helps the task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.contracts import (
    TRAINING_FACTOR,
    Batch,
    Context,
    Cost,
    Dropout,
    Facts,
    LossTerm,
    Models,
    OptimizerMethod,
    Outputs,
    Sizes,
    Wants,
)
from autokd.engine.checkpoint import has_state, load_state, save_state
from autokd.engine.length import batches_of, n_steps, require_steps
from autokd.engine.loop import LoopOptions, Teacher, train
from autokd.engine.teacher import LiveTeacher, TeacherOutputs
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import task_loss
from autokd.methods.basics.optimizers import AdamW
from autokd.methods.ted.filters import SLOT, FilterPair, FilterShape, filters_slot, shape_between
from autokd.models.linear import Linear, initialise
from autokd.models.slots import shape_of_slot


@dataclass(frozen=True)
class LearnFilters:
    """Learns one filter per layer of the teacher and of the student, each by how well the task is solved behind it.

    What: both networks are frozen. Behind every filter stands a task head of its own (dropout, dense, GELU, dropout,
        output) that reads the first token; filters and heads train on gold labels, teacher and student apart. The
        heads are thrown away, the filters become the slot ``ted_filters`` for FilteredHidden. The student must have
        been fine-tuned before: filters of a student that cannot do the task have nothing to keep.
    Equation: ``L = mean_k L_task(head_k(W_k h_k + c_k), y)`` with ``h_k`` the first token's state of layer k.
    Symbols: width: of what filters give, nothing for the teacher's hidden width; nonlinear: two layers with a GELU
        instead of one; every: filters at every so-many-th student layer, whose k-th goes with teacher layer
        ``floor(k * L_t / L_s)``; head_dropout: rate inside the heads; optimizer, epochs, batch_size, warmup_share:
        of the training of either side.
    Source: TED, arXiv:2210.01351, first stage, with the architecture of its released code.
    Differences: frozen networks never drop units (the released code leaves their dropout on); gradients are not
        bounded, so that no layer's filter depends on another's loss; one optimizer serves both sides (the released
        scripts give each side the rate of its fine-tuning, below 1e-4, for thousands of steps: in 48 steps filters
        and heads hardly move at that rate); depths that do not divide are rounded down; the
        nonlinear filter's activation is GELU. Padding is never seen, because heads read the first token alone.
        The teacher's half is no prefix that trials share: its states are computed once per study as it is, and what
        is left, three small products per row and layer, costs a few per cent of that pass.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2210.01351"
    version: ClassVar[int] = 2
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"teacher", "student", "trained_student"}),
        forbids=frozenset({"other_tokenizers"}),
        gives=frozenset({SLOT}),
        of=frozenset({"teacher", "student"}),
    )

    width: int | None = None
    nonlinear: bool = False
    every: int = 1
    head_dropout: float = 0.1
    optimizer: OptimizerMethod = AdamW(lr=1e-3, weight_decay=0.0)  # noqa: RUF009 - frozen value
    epochs: float = 3.0
    batch_size: int = 32
    warmup_share: float = 0.1

    def __post_init__(self) -> None:
        if self.width is not None:
            checks.whole(self, "width", 1)
        checks.boolean(self, "nonlinear")
        checks.whole(self, "every", 1)
        checks.number(self, "head_dropout", 0, 0.999)
        checks.nested(self, "optimizer", "optimizer")
        checks.above(self, "epochs", 0)
        checks.whole(self, "batch_size", 1)
        checks.number(self, "warmup_share", 0, 0.999)

    def run(self, models: Models, ctx: Context) -> Models:
        teacher, student = models["teacher"], models["student"]
        networks = shape_of_slot(teacher), shape_of_slot(student)
        shape = shape_between(*networks, self.width, self.nonlinear, self.every)
        filters = FilterPair(shape)
        for side, bank in (("teacher", filters.teacher), ("student", filters.student)):
            self._learn(side, bank, shape, models, ctx)
        return models.with_slots(**{SLOT: filters_slot(filters, shape, teacher)})

    def _learn(self, side: str, bank: nn.ModuleList, shape: FilterShape, models: Models, ctx: Context) -> None:
        """Train one side's filters in place, or take them from the folder where that was done before a pause."""
        folder = ctx.folder / side
        done = folder / "done"
        if has_state(done):
            bank.load_state_dict(load_state(done))
            return
        initialise(bank, ctx.seeds.integer(f"init:filters:{side}"))
        heads = nn.ModuleList(TaskHead(shape.width, ctx.n_outputs, self.head_dropout) for _ in shape.pairs)
        initialise(heads, ctx.seeds.integer(f"init:heads:{side}"))
        layers = tuple(t if side == "teacher" else s for t, s in shape.pairs)
        term = FilterTerm(layers, bank, heads)
        states = self._states(side, term.student_wants, models, ctx)
        options = LoopOptions(self.epochs, self.batch_size, self.warmup_share, clip_norm=0.0)
        rows = ctx.rows("train", models[side])
        train(Frozen(states), [term], self.optimizer, options, replace(ctx, folder=folder), rows)
        save_state(done, bank.state_dict())

    def _states(self, side: str, wants: Wants, models: Models, ctx: Context) -> Teacher:
        """The teacher's states are read from the cache that FilteredHidden reads too; the student's are its own and
        read once an epoch, which its small network computes as it goes."""
        if side == "student":
            return LiveTeacher(models["student"], ctx, wants)
        teacher, dense = models["teacher"], models.get("dense_teacher")
        is_shared = dense is not None and dense.content == teacher.content
        place = ctx if is_shared else replace(ctx, cache=ctx.folder)
        return TeacherOutputs(teacher, ctx.rows("train", teacher), place, wants)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """One pass of the teacher, the student's in every epoch, and the training of filters and heads.

        Raises SpecError where there are too few steps for the optimizer.
        """
        require_steps(n_steps(self.epochs, batches_of(sizes.rows, self.batch_size)), [self.optimizer])
        if sizes.student is None:
            return Cost(0.0, known=False), sizes
        shape = shape_between(sizes.teacher, sizes.student, self.width, self.nonlinear, self.every)
        heads = 2 * len(shape.pairs) * (shape.width * shape.width + shape.width * sizes.teacher.labels)
        learning = TRAINING_FACTOR * (shape.macs("teacher") + shape.macs("student") + heads)
        per_epoch = sizes.student.macs(sizes.length) + learning
        macs = sizes.rows * (sizes.teacher.macs(sizes.length) + self.epochs * per_epoch)
        return Cost(macs), replace(sizes, added={**sizes.added, SLOT: shape})


class Frozen(nn.Module):
    """A network in a loop that is only read: it has no parameters there."""

    def __init__(self, states: Teacher) -> None:
        super().__init__()
        self._states = states

    def forward(self, batch: Batch, wants: Wants, *, dropout: Dropout | None = None) -> Outputs:
        return self._states.for_batch(batch)


class TaskHead(nn.Module):
    """Dropout, dense, GELU, dropout, output: [batch, width] -> [batch, n_outputs]."""

    def __init__(self, width: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.out = Linear(width, n_outputs)
        self._rate = dropout

    def forward(self, value: Tensor, dropout: Dropout) -> Tensor:
        inner = functional.gelu(self.dense(dropout(value, self._rate)))
        logits: Tensor = self.out(dropout(inner, self._rate))
        return logits


class FilterTerm(LossTerm):
    """The mean over layers of the task's loss behind each filter; the frozen network stands where the student does."""

    teacher_wants = None

    def __init__(self, layers: tuple[int, ...], filters: nn.ModuleList, heads: nn.ModuleList) -> None:
        super().__init__()
        self.filters, self.heads = filters, heads
        self._layers = layers
        self.student_wants = Wants(frozenset(layers))

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        return torch.stack(self.losses(student, batch, dropout)).mean()

    def losses(self, outputs: Outputs, batch: Batch, dropout: Dropout) -> list[Tensor]:
        """The task's loss of each layer."""
        parts = zip(self._layers, self.filters, self.heads, strict=True)
        return [task_loss(head(keep(outputs.hidden[i][:, 0]), dropout), batch) for i, keep, head in parts]
