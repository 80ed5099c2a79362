"""What stages that train supernets share: fields, the loop, held-out losses of sub-networks, and the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import mean
from types import MappingProxyType
from typing import ClassVar

from autokd.contracts import (
    TRAINING_FACTOR,
    Context,
    Corpus,
    Cost,
    Facts,
    Models,
    OptimizerMethod,
    Rows,
    Sizes,
    Slot,
    Wants,
)
from autokd.core.shape import EncoderShape
from autokd.core.task import without_labels
from autokd.engine.loop import LoopOptions, train
from autokd.engine.teacher import LiveTeacher
from autokd.methods.basics import checks
from autokd.methods.basics.held_out import HeldOut
from autokd.methods.basics.optimizers import AdamW
from autokd.methods.basics.relations import Relations
from autokd.methods.basics.sandwich import Sandwich
from autokd.models.elastic import shape_of
from autokd.models.slots import make_slot
from autokd.models.subspaces import PUBLISHED, Subspace, SupernetSizes, subspace
from autokd.models.supernet import supernet_of
from autokd.tasks.corpus import read_corpus

SLOT, TEACHER_SLOT = "supernet", "supernet_teacher"
ATTENTION = Wants(attention=True)
_SCORED_ROWS = 64  # of validation texts, whose losses tell how far training is


@dataclass(frozen=True)
class SupernetTraining:
    """A stage that trains a supernet; its card and how the supernet starts are each paper's own."""

    kind: ClassVar[str] = "stage"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = True
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"dense_teacher", "encoder_teacher"}),
        gives=frozenset({SLOT, TEACHER_SLOT}),
        of=frozenset({"dense_teacher"}),
    )

    assets: ClassVar[Mapping[str, str]] = MappingProxyType({"corpus": "corpus"})

    space: str = "small"
    corpus: str = ""
    loss: Relations = Relations()  # noqa: RUF009 - frozen value
    n_random: int = 2
    optimizer: OptimizerMethod = AdamW(lr=6e-4)  # noqa: RUF009 - frozen value
    epochs: float = 10.0
    batch_size: int = 32
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    dropout: float | None = None

    def __post_init__(self) -> None:
        checks.one_of(self, "space", tuple(PUBLISHED))
        if not isinstance(self.loss, Relations):
            raise checks.refusal(self, "loss", "basics:Relations", self.loss)
        checks.whole(self, "n_random", 0)
        checks.nested(self, "optimizer", "optimizer")
        checks.loop(self)

    def options(self) -> LoopOptions:
        """How long and how the loop trains."""
        return LoopOptions(self.epochs, self.batch_size, self.warmup_share, self.clip_norm, self.dropout)

    def start(self, teacher: Slot, shape: EncoderShape, found: Subspace, ctx: Context) -> Slot:
        """The supernet before it is trained."""
        raise NotImplementedError

    def merging_macs(self, shape: EncoderShape) -> float:
        """Multiply-accumulates by which a step makes one sub-network's weights."""
        return 0.0

    def run(self, models: Models, ctx: Context) -> Models:
        ctx = replace(ctx, seeds=replace(ctx.seeds, replicate=0))
        teacher = models["dense_teacher"]
        made = self.learnt(teacher, self._rows(teacher, ctx), ctx.rows("valid", teacher), ctx)
        return models.with_slots(**{SLOT: made, TEACHER_SLOT: teacher})

    def _rows(self, teacher: Slot, ctx: Context) -> Rows:
        """Those of the corpus, else the task's own, with those that have no labels."""
        task = ctx.task
        if self.corpus:
            return ctx.encode(without_labels(read_corpus(ctx.asset(self.corpus)), None, task.problem), teacher)
        if task.unlabelled is None:
            return ctx.rows("train", teacher)
        return ctx.encode(task.train.plus(task.unlabelled), teacher)

    def learnt(self, teacher: Slot, rows: Rows, held_out: Rows, ctx: Context) -> Slot:
        """A supernet of a teacher after training on these rows; ``ctx`` is told the smallest and largest
        sub-network's mean loss on some of the rows that are held out, its sign turned."""
        shape = shape_of(teacher)
        start = self.start(teacher, shape, subspace(self.space, shape), ctx)
        supernet = supernet_of(start)
        term = self.loss.build(Models({"teacher": teacher}), ctx)
        taught = LiveTeacher(teacher, ctx, ATTENTION)
        scored = HeldOut(held_out, _SCORED_ROWS, term, taught, ctx)
        ends = [supernet.member(each) for each in (supernet.subspace.smallest, supernet.subspace.largest)]
        train(
            Sandwich(supernet, self.n_random, ctx.seeds),
            [term],
            self.optimizer,
            self.options(),
            ctx,
            rows,
            teacher=taught,
            score=lambda _: -mean(float(scored.losses(each).mean()) for each in ends),
        )
        config = {**start.config, "loss": asdict(self.loss)}
        return make_slot(supernet, config, builder=start.builder, tokenizer=start.tokenizer)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """At each step a pass of the teacher, and passes forward and back of all sub-networks that it trains.

        Raises SpecError where the teacher's shape has no such sub-space.
        """
        teacher = sizes.dense_teacher or sizes.teacher
        found = SupernetSizes(subspace(self.space, teacher), teacher)
        after = replace(sizes, added={**sizes.added, SLOT: found})
        if self.corpus:
            corpus = sizes.assets.get(self.corpus)
            if not isinstance(corpus, Corpus):
                return Cost(0.0, known=False), after
            sizes = replace(sizes, rows=corpus.rows, unlabelled=0, length=corpus.length)
        ends = found.subspace.largest, found.subspace.smallest
        macs = sum(found.macs(each, sizes.length) for each in ends) + self.n_random * found.mean_macs(sizes.length)
        products = self.loss.cost(replace(sizes, teacher=teacher, student=found.subspace.largest.shape(teacher)))
        trained = TRAINING_FACTOR * (macs + (2 + self.n_random) * products)
        merged = (2 + self.n_random) * TRAINING_FACTOR * self.merging_macs(found.subspace.store(teacher))
        per_row = teacher.macs(sizes.length) + trained + merged / self.batch_size
        return Cost(self.epochs * (sizes.rows + sizes.unlabelled) * per_row), after
