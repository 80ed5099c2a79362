"""AutoDistil's second part: students taken out of a supernet, by their held-out loss or by their place in the space."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from typing import ClassVar

from autokd.contracts import Context, Cost, Facts, Models, Proposer, Sizes, Timer
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.engine.teacher import LiveTeacher
from autokd.methods.autodistil.losses_kept import kept_losses
from autokd.methods.basics import checks
from autokd.methods.basics.held_out import HeldOut
from autokd.methods.basics.relations import Relations
from autokd.methods.basics.supernets import ATTENTION, SLOT, TEACHER_SLOT
from autokd.models.slots import shape_of_slot
from autokd.models.subspaces import Architecture, Subspace, SupernetSizes
from autokd.models.supernet import extract, supernet_of

_MOST_ROWS = 256
_STUDENT = Facts(
    needs=frozenset({SLOT, TEACHER_SLOT}),
    gives=frozenset({"student", "student_init"}),
    drops=frozenset({"trained_student", "hash_routed", "gated", "student_tokenizer"}),
)


@dataclass(frozen=True)
class SearchSubnet:
    """Takes out of a supernet the sub-network that keeps the teacher's relations best, within limits on its size.

    What: every sub-network within the limits is scored by its relation loss on validation texts, whose labels are not
        looked at, with the supernet's weights as they are: no training, no gradient. Where there are more of them
        than may be scored, the study's proposer says which. The best one (of equal ones that of fewer
        multiply-accumulates) is the student and its exact start. Losses are kept: trials with other limits look up
        what was scored before.
    Equation: ``argmin over a of mean_b L(a)`` subject to ``MACs(a) <= macs * MACs(teacher)``, ``params(a) <= params *
        params(teacher)``, ``time(a) <= latency * time(teacher)``
    Symbols: macs, params, latency: the limits, as shares of the fine-tuned teacher's multiply-accumulates, parameters
        and time for one text of the mean length, nothing for no limit on time; share: rows that are read, as a share
        of the number of training rows, at most 256; most: how many sub-networks are scored at most.
    Source: AutoDistil, arXiv:2201.12507, its task-agnostic search, for which no code was released.
    Differences: held out are the task's own validation texts. Counts are those of the tensors that are left. Time is
        measured once for every sub-network within the other limits, a second or two each (more for large ones on slow
        processors), in float32 on one thread of the CPU, in turns with the teacher. That happens beside other trials,
        so that only the ratio counts, and a busy machine's may be a tenth off. With such a limit the choice depends
        on the machine that measured. A study's constraint ``latency<=5`` still decides what ships.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2201.12507"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = replace(_STUDENT, needs=_STUDENT.needs | {"dense_teacher"})

    macs: float = 0.5
    params: float = 1.0
    latency: float | None = None
    share: float = 0.02
    most: int = 256

    def __post_init__(self) -> None:
        for field in ("macs", "params", "share"):
            checks.above(self, field, 0)
            checks.number(self, field, 0, 1)
        if self.latency is not None:
            checks.share(self, "latency")
        checks.whole(self, "most", 1)

    def run(self, models: Models, ctx: Context) -> Models:
        """Raises SpecError where no sub-network is within the limits, or a proposer or a timer is needed and there is
        none."""
        slot, teacher = models[SLOT], models[TEACHER_SLOT]
        supernet, rows, train = supernet_of(slot), ctx.rows("valid", teacher), ctx.rows("train", teacher)
        length, sizes = float(train.extents.mean()), SupernetSizes(supernet.subspace, supernet.shape)
        dense = shape_of_slot(models["dense_teacher"])
        allowed = self.within(sizes, dense, length)
        if self.latency is not None:
            shapes = {each: each.shape(sizes.shape) for each in allowed}
            allowed = fast(shapes, self.latency, dense, max(1, round(length)), ctx.timer)
        loss, count = Relations(**slot.config["loss"]), self._count(len(train))

        @cache  # where all losses are known nobody reads anything
        def held_out() -> HeldOut:
            supernet.to(ctx.device)
            term = loss.build(Models({"teacher": teacher}), ctx)
            return HeldOut(rows, count, term, LiveTeacher(teacher, ctx, ATTENTION), ctx)

        def score(architecture: Architecture) -> float:
            return float(held_out().losses(supernet.member(architecture)).mean())

        texts = hashlib.sha256(rows.keys.numpy().tobytes()).hexdigest()
        key = ["autodistil:SearchSubnet", self.version, slot.content, teacher.content, repr(loss), texts, count]
        seed = replace(ctx.seeds, replicate=0).integer("search")  # all seeds of a pipeline have one shape
        with kept_losses(key, score, ctx) as kept:
            losses = search(supernet.subspace, allowed, kept, self.most, ctx.propose, seed)
        best = min(losses, key=lambda each: (losses[each], sizes.macs(each, length), each))
        student = extract(slot, best)
        return models.with_slots(student=student, student_init=student)

    def within(self, sizes: SupernetSizes, teacher: EncoderShape, length: float) -> tuple[Architecture, ...]:
        """The sub-networks within the limits, for texts of so many tokens. Raises SpecError where there are none."""
        most_macs, most_params = self.macs * teacher.macs(length), self.params * teacher.params()
        shapes = {each: each.shape(sizes.shape) for each in sizes.subspace.architectures()}
        found = [a for a, shape in shapes.items() if shape.macs(length) <= most_macs and shape.params() <= most_params]
        if not found:
            least = shapes[sizes.subspace.smallest]
            shares = least.macs(length) / teacher.macs(length), least.params() / teacher.params()
            raise SpecError(
                f"SearchSubnet.macs and .params must leave a sub-network, but the smallest has {shares[0]:.3f} and "
                f"{shares[1]:.3f} of the teacher's, and got {self.macs:g} and {self.params:g}."
            )
        return tuple(found)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """A pass of every sub-network within the limits over the rows that are read, and one of the teacher; the
        student is the costliest that it may be. Raises SpecError where there is none.

        A limit on latency, which nobody knows beforehand, leaves fewer to score and may leave out the costliest; its
        timing is not counted, so that the cost is marked as unknown.
        """
        found, teacher = sizes.added.get(SLOT), sizes.dense_teacher or sizes.teacher
        if not isinstance(found, SupernetSizes):
            return Cost(0.0, known=False), replace(sizes, student=None, student_init=None)
        macs = {each: found.macs(each, sizes.length) for each in self.within(found, teacher, sizes.length)}
        scored = min(len(macs), self.most) * mean(macs.values())
        student = max(macs, key=lambda each: macs[each]).shape(found.shape)
        rows = min(self.share * sizes.rows, _MOST_ROWS)
        cost = Cost(rows * (teacher.macs(sizes.length) + scored), known=self.latency is None)
        return cost, replace(sizes, student=student, student_init=student, is_bound=True)

    def _count(self, n_train: int) -> int:
        return min(max(1, round(self.share * n_train)), _MOST_ROWS)


def fast(
    shapes: Mapping[Architecture, EncoderShape], latency: float, teacher: EncoderShape, length: int, timer: Timer | None
) -> tuple[Architecture, ...]:
    """Those that take at most a share ``latency`` of the teacher's time. Raises SpecError where there are none, or no
    timer."""
    if timer is None:
        raise SpecError("no timer was handed in to measure what SearchSubnet.latency limits; leave the limit out.")
    shares = timer(teacher, list(shapes.values()), length)
    found = tuple(each for each, share in zip(shapes, shares, strict=True) if share <= latency)
    if not found:
        raise SpecError(
            f"SearchSubnet.latency must leave a sub-network, but the fastest within .macs and .params takes "
            f"{min(shares):.3f} of the teacher's time, and got {latency:g}."
        )
    return found


def search(
    subspace: Subspace,
    allowed: Collection[Architecture],
    loss: Callable[[Architecture], float],
    most: int,
    propose: Proposer | None,
    seed: int,
) -> dict[Architecture, float]:
    """Losses of the ``allowed`` sub-networks, all of them where they are at most ``most``, else of as many that are
    proposed one after the other. Raises SpecError where a proposer is needed and there is none."""
    if len(allowed) <= most:
        return {architecture: loss(architecture) for architecture in allowed}
    if propose is None:
        raise SpecError(f"no proposer was handed in to choose {most} of {len(allowed)} sub-networks; score them all.")
    sizes = {"layers": len(subspace.layers), "heads": len(subspace.heads), "hidden": len(subspace.hidden)}
    sizes["ratios"] = len(subspace.ratios)
    inside, tried, found = frozenset(allowed), list[tuple[Mapping[str, int], float]](), dict[Architecture, float]()
    while len(found) < most:
        point = propose(sizes, tried, seed, lambda chosen: subspace.chosen(**chosen) in inside)
        if point is None:
            break
        architecture = subspace.chosen(**point)
        found[architecture] = loss(architecture)
        tried.append((point, found[architecture]))
    return found


@dataclass(frozen=True)
class ExtractSubnet:
    """Takes one sub-network out of a supernet: a student of a shape that the pipeline chooses.

    What: the sub-network's rows and columns are copied into a network of their own, with what the supernet has
        learnt; it is the student and its exact start. Where it lies in each dimension of the sub-space is a share, so
        that one pipeline serves teachers of all sizes.
    Equation: of n choices in rising order the one at ``floor(place * (n - 1) + 1/2)``, 0-based.
    Symbols: layers, heads, hidden, ratio: the place in each dimension, 0 the least, 1 the most; ratio is that of
        neurons to hidden channels.
    Source: AutoDistil, arXiv:2201.12507.
    Differences: really sliced, and widths are whole numbers (the released multipliers lose a channel to rounding).
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2201.12507"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = _STUDENT

    layers: float = 1.0
    heads: float = 1.0
    hidden: float = 1.0
    ratio: float = 1.0

    def __post_init__(self) -> None:
        for field in ("layers", "heads", "hidden", "ratio"):
            checks.number(self, field, 0, 1)

    def run(self, models: Models, ctx: Context) -> Models:
        student = extract(models[SLOT], self._chosen(supernet_of(models[SLOT]).subspace))
        return models.with_slots(student=student, student_init=student)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """Free; the student's shape is known where the supernet's is."""
        found = sizes.added.get(SLOT)
        student = self._chosen(found.subspace).shape(found.shape) if isinstance(found, SupernetSizes) else None
        return Cost(0.0), replace(sizes, student=student, student_init=student)

    def _chosen(self, subspace: Subspace) -> Architecture:
        return subspace.at(self.layers, self.heads, self.hidden, self.ratio)
