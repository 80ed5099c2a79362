"""Networks for the nodes of a graph: a teacher that reads all neighbours, and students with fewer layers or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from autokd.contracts import GRAPH, TRAINING_FACTOR, Context, Cost, Facts, Models, OptimizerMethod, Sizes, Slot
from autokd.core.shape import EncoderShape, GraphShape, graph_shape
from autokd.engine.evaluate import score_rows
from autokd.engine.length import batches_of, n_steps, require_steps
from autokd.engine.loop import LoopOptions, train
from autokd.engine.nodes import start_shape
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import Labels
from autokd.methods.basics.optimizers import AdamW
from autokd.models.graph import ACTIVATIONS, fresh_network, graph_slot
from autokd.models.slots import build, slot_like

_MAKES_STUDENT = Facts(
    needs=frozenset({"teacher"}),
    gives=frozenset({"student", "student_init"}),
    drops=frozenset({"trained_student"}),
    data=GRAPH,
)


@dataclass(frozen=True)
class TrainTeacher:
    """Trains a graph convolutional network on the labelled nodes: the teacher.

    What: a fresh network learns from the labels of the training nodes, reading every node's neighbours; the result is
        the slot ``teacher``, and ``dense_teacher`` for methods that change the teacher later. Trials with equal fields
        share one teacher.
    Equation: ``h' = act(M (h W) + b)`` with ``M = D^-1/2 (A + I) D^-1/2``; the last layer without act gives the logits.
    Symbols: hidden: width; layers: dense layers, each followed by its neighbours' sum; activation: ``relu`` or
        ``tanh``; residual: add ``h W`` to what the neighbours give; dropout: of features and of hidden states; epochs,
        batch_size (of nodes), optimizer; clip_norm: bound on the gradient's norm, 0 for none.
    Source: Kipf and Welling, arXiv:1609.02907.
    Differences: weight decay is decoupled and holds for all layers; the last step's weights are kept; always replicate
        0, so that all seeds of a study share it.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "1609.02907"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = True
    facts: ClassVar[Facts] = Facts(gives=frozenset({"teacher", "dense_teacher"}), data=GRAPH)

    hidden: int = 64
    layers: int = 2
    activation: str = "relu"
    residual: bool = False
    dropout: float = 0.5
    epochs: float = 200.0
    batch_size: int = 4096
    optimizer: OptimizerMethod = AdamW(lr=0.01, weight_decay=0.05)  # noqa: RUF009 - frozen value
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        _check_network(self)
        checks.above(self, "epochs", 0)
        checks.whole(self, "batch_size", 1)
        checks.number(self, "clip_norm", 0)
        checks.nested(self, "optimizer", "optimizer")

    def start(self, ctx: Context) -> Slot:
        """The network before it is trained."""
        return graph_slot(fresh_network(_shape(self, "gcn", start_shape(ctx.task)), ctx.seeds.integer("init:teacher")))

    def run(self, models: Models, ctx: Context) -> Models:
        ctx = replace(ctx, seeds=replace(ctx.seeds, replicate=0))
        first = self.start(ctx)
        valid = ctx.rows("valid", first)
        trained = train(
            build(first),
            [Labels().build(models, ctx)],
            self.optimizer,
            LoopOptions(self.epochs, self.batch_size, warmup_share=0.0, clip_norm=self.clip_norm),
            ctx,
            ctx.rows("train", first),
            score=lambda model: score_rows(model, valid, ctx.task.metric, ctx.device, ctx.precision),
        )
        teacher = slot_like(trained, first)
        return models.with_slots(teacher=teacher, dense_teacher=teacher)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """Each step passes over the whole graph, whatever nodes it learns from.

        Raises SpecError where there are too few steps for the optimizer.
        """
        require_steps(n_steps(self.epochs, batches_of(sizes.rows, self.batch_size)), [self.optimizer])
        teacher = _shape(self, "gcn", sizes.teacher)
        steps = self.epochs * max(1.0, sizes.rows / self.batch_size)
        macs = TRAINING_FACTOR * steps * (sizes.rows + sizes.unlabelled) * teacher.macs(sizes.length)
        return Cost(macs), replace(sizes, teacher=teacher, dense_teacher=teacher)


@dataclass(frozen=True)
class GcnStudent:
    """Makes a student that reads neighbours: a graph convolutional network, usually narrower than the teacher.

    What: a fresh network, and the student's exact start for Rewind.
    Equation: as TrainTeacher.
    Symbols: hidden: width; layers: dense layers, each followed by its neighbours' sum; activation: ``relu`` or
        ``tanh``; residual: add ``h W`` to what the neighbours give; dropout: of features and of hidden states.
    Source: Kipf and Welling, arXiv:1609.02907.
    Differences: none.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "1609.02907"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = replace(_MAKES_STUDENT, gives=_MAKES_STUDENT.gives | {"reads_neighbours"})

    hidden: int = 16
    layers: int = 2
    activation: str = "relu"
    residual: bool = False
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _check_network(self)

    def run(self, models: Models, ctx: Context) -> Models:
        return _with_student(models, ctx, _shape(self, "gcn", start_shape(ctx.task)))

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        return _fresh_student(sizes, _shape(self, "gcn", sizes.teacher))


@dataclass(frozen=True)
class MlpStudent:
    """Makes a student that reads a node's own features only: as fast as can be, and it needs no graph at work.

    What: a fresh multi-layer perceptron, and the student's exact start for Rewind. What neighbours tell, it can learn
        from a teacher's logits on all nodes.
    Equation: ``h' = act(h W + b)``; the last layer without act gives the logits.
    Symbols: hidden: width; layers: dense layers; activation: ``relu`` or ``tanh``; dropout: of features and of hidden
        states.
    Source: GLNN, arXiv:2110.08727.
    Differences: no batch normalisation.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2110.08727"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = replace(_MAKES_STUDENT, drops=_MAKES_STUDENT.drops | {"reads_neighbours"})

    hidden: int = 64
    layers: int = 2
    activation: str = "relu"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _check_network(self)

    def run(self, models: Models, ctx: Context) -> Models:
        return _with_student(models, ctx, _shape(self, "mlp", start_shape(ctx.task)))

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        return _fresh_student(sizes, _shape(self, "mlp", sizes.teacher))


def _check_network(method: TrainTeacher | GcnStudent | MlpStudent) -> None:
    checks.whole(method, "hidden", 1)
    checks.whole(method, "layers", 1, 8)
    checks.one_of(method, "activation", tuple(ACTIVATIONS))
    checks.number(method, "dropout", 0, 0.999)
    if not isinstance(method, MlpStudent):
        checks.boolean(method, "residual")


def _shape(method: TrainTeacher | GcnStudent | MlpStudent, family: str, like: EncoderShape) -> GraphShape:
    """The shape that a method's fields name, for the features and classes of ``like``."""
    return graph_shape(
        like.vocabulary,
        like.labels,
        like.filled if isinstance(like, GraphShape) else 0.0,
        family=family,
        hidden=method.hidden,
        stages=method.layers,
        residual=getattr(method, "residual", False),
        activation=method.activation,
        dropout=method.dropout,
    )


def _with_student(models: Models, ctx: Context, shape: GraphShape) -> Models:
    student = graph_slot(fresh_network(shape, ctx.seeds.integer("init:student")))
    return models.with_slots(student=student, student_init=student)


def _fresh_student(sizes: Sizes, student: GraphShape) -> tuple[Cost, Sizes]:
    """Making it is free."""
    return Cost(0.0), replace(sizes, student=student, student_init=student)
