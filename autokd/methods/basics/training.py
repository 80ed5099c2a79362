"""Stages that train: a fine-tuned teacher, and the student's distillation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from autokd.contracts import (
    ANY_DATA,
    TRAINING_FACTOR,
    BaseModel,
    BatchTransformer,
    Context,
    Cost,
    Facts,
    Hook,
    MaskingHook,
    Models,
    Objective,
    OptimizerMethod,
    ReshapingHook,
    Rows,
    Sampler,
    Sizes,
    Slot,
    TextAugmenter,
    Wants,
)
from autokd.core.task import Split
from autokd.engine.evaluate import score_rows
from autokd.engine.length import batches_of, n_steps, require_steps
from autokd.engine.loop import LoopOptions, Teacher, train
from autokd.engine.same_rows import SameRows
from autokd.engine.teacher import LiveTeacher, TeacherOutputs
from autokd.methods.basics import checks
from autokd.methods.basics.objectives import Labels, Logits
from autokd.methods.basics.optimizers import AdamW
from autokd.models.slots import build, slot_like


def _score(slot: Slot, ctx: Context) -> Callable[[nn.Module], float]:
    """Scores a model of this slot's tokenizer on the validation split, by the task's metric."""
    rows = ctx.rows("valid", slot)
    return lambda model: score_rows(model, rows, ctx.task.metric, ctx.device, ctx.precision)


def _check_loop(method: FineTuneTeacher | Distil) -> LoopOptions:
    """The loop options that a stage's fields name. Raises SpecError for values out of range."""
    checks.loop(method)
    checks.boolean(method, "freeze_embeddings")
    checks.nested(method, "optimizer", "optimizer")
    return LoopOptions(
        epochs=method.epochs,
        batch_size=method.batch_size,
        warmup_share=method.warmup_share,
        clip_norm=method.clip_norm,
        dropout=method.dropout,
        freeze_embeddings=method.freeze_embeddings,
    )


@dataclass(frozen=True)
class FineTuneTeacher:
    """Fine-tunes a pretrained model on the task: the teacher, and where students are cut from.

    What: the base model with a fresh classification head trains on gold labels; the result is the slot ``teacher``
        and, for methods that change the teacher later, ``dense_teacher``. Trials with equal fields share one teacher.
        A classifier that already has this task's labels (or, for regression, its one output) is only evaluated.
    Equation: the task's loss, see Labels; learning rate linearly up for ``warmup_share`` of the steps, then down to 0.
    Symbols: model: name of the base model (any encoder or text classifier), ``auto`` the study's first; epochs,
        batch_size, optimizer, warmup_share; clip_norm: bound on the gradient's norm; dropout: rate, nothing for the
        model's own; freeze_embeddings.
    Source: common practice (BERT, arXiv:1810.04805).
    Differences: the last epoch's weights are kept; always replicate 0, so that all seeds of a study share it.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "1810.04805"
    version: ClassVar[int] = 2
    shared: ClassVar[bool] = True
    facts: ClassVar[Facts] = Facts(gives=frozenset({"teacher", "dense_teacher", "encoder_teacher"}))

    model: str = "auto"
    epochs: float = 3.0
    batch_size: int = 32
    optimizer: OptimizerMethod = AdamW(lr=5e-5)  # noqa: RUF009 - frozen value
    warmup_share: float = 0.1
    clip_norm: float = 1.0
    dropout: float | None = None
    freeze_embeddings: bool = False

    def __post_init__(self) -> None:
        _check_loop(self)

    def facts_with(self, base: BaseModel) -> Facts:
        """What a teacher from this model can do, and how it splits texts."""
        gives = {"teacher", "dense_teacher", f"teacher_tokenizer:{base.tokenizer}"}
        if base.is_encoder:
            return Facts(gives=frozenset({*gives, "encoder_teacher"}))
        return Facts(gives=frozenset(gives), drops=frozenset({"encoder_teacher"}))

    def run(self, models: Models, ctx: Context) -> Models:
        ctx = replace(ctx, seeds=replace(ctx.seeds, replicate=0))
        base = ctx.base(self.model, ctx.seeds)
        if ctx.describe(self.model).is_tuned:
            ctx.report(0, _score(base, ctx)(build(base).to(ctx.device)))
            return models.with_slots(teacher=base, dense_teacher=base)
        trained = train(
            build(base),
            [Labels().build(models, ctx)],
            self.optimizer,
            _check_loop(self),
            ctx,
            ctx.rows("train", base),
            score=_score(base, ctx),
        )
        teacher = slot_like(trained, base)
        return models.with_slots(teacher=teacher, dense_teacher=teacher)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """Nothing for a model that is only evaluated. Raises SpecError for too few steps for the optimizer."""
        teacher = sizes.bases.get(self.model, sizes.teacher)
        tokenizer = sizes.tokenizers.get(self.model, "")
        after = replace(sizes, teacher=teacher, dense_teacher=teacher, tokenizer=tokenizer)
        if self.model in sizes.tuned:
            return Cost(0.0), after
        require_steps(n_steps(self.epochs, batches_of(sizes.rows, self.batch_size)), [self.optimizer])
        return Cost(TRAINING_FACTOR * self.epochs * sizes.rows * teacher.macs(sizes.length)), after


@dataclass(frozen=True)
class Distil:
    """Trains the student on a weighted sum of objectives.

    What: one run of the training loop over the (expanded) training rows. With Labels alone it is plain fine-tuning.
        Where an objective reads the teacher, the task's unlabelled rows are trained on as well.
    Equation: ``L = sum_k weight_k * L_k``; learning rate linearly up for ``warmup_share`` of the steps, then down to 0.
    Symbols: objectives: the terms; hooks: act after each step (pruning); augmenters: those that rewrite texts do so one
        after the other, and the copy that comes out is trained on beside the rows; one may change each batch;
        optimizer; sampler: which rows a step sees, nothing for shuffled length buckets; epochs: passes over all these
        rows; batch_size: rows per step before a transform adds more; warmup_share; clip_norm: bound on the gradient's
        norm, 0 for none; dropout: the student's rate, nothing for its own; freeze_embeddings: leave them as they are.
    Source: Hinton et al., arXiv:1503.02531.
    Differences: the teacher never drops units; the last step's weights are kept.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "1503.02531"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(needs=frozenset({"student"}), gives=frozenset({"trained_student"}), data=ANY_DATA)

    objectives: tuple[Objective, ...] = (Logits(),)
    hooks: tuple[Hook, ...] = ()
    augmenters: tuple[TextAugmenter | BatchTransformer, ...] = ()
    optimizer: OptimizerMethod = AdamW(lr=1e-4)  # noqa: RUF009 - frozen value
    sampler: Sampler | None = None
    epochs: float = 3.0
    batch_size: int = 32
    warmup_share: float = 0.1
    clip_norm: float = 1.0
    dropout: float | None = None
    freeze_embeddings: bool = False

    def __post_init__(self) -> None:
        checks.methods(self, "objectives", "objective")
        if not self.objectives:
            raise checks.refusal(self, "objectives", "a list of at least one objective", self.objectives)
        checks.methods(self, "hooks", "hook")
        pruning = [type(hook).__name__ for hook in self.hooks if isinstance(hook, (MaskingHook, ReshapingHook))]
        if len(pruning) > 1:
            raise checks.refusal(self, "hooks", "a list with at most one that prunes", pruning)
        checks.methods(self, "augmenters", "augmenter")
        if len(self._transformers) > 1:
            raise checks.refusal(self, "augmenters", "a list with at most one that changes batches", self.augmenters)
        if self.sampler is not None:
            checks.nested(self, "sampler", "sampler")
        _check_loop(self)

    @property
    def _policy(self) -> tuple[TextAugmenter, ...]:
        return tuple(a for a in self.augmenters if isinstance(a, TextAugmenter))

    @property
    def _transformers(self) -> tuple[BatchTransformer, ...]:
        return tuple(a for a in self.augmenters if isinstance(a, BatchTransformer))

    @property
    def _reshaping(self) -> tuple[ReshapingHook, ...]:
        return tuple(hook for hook in self.hooks if isinstance(hook, ReshapingHook))

    def run(self, models: Models, ctx: Context) -> Models:
        student = models["student"]
        terms = [objective.build(models, ctx) for objective in self.objectives]
        texts = self._texts(ctx)
        rows = _rows(texts, student, ctx)
        asked = [term.teacher_wants for term in terms if term.teacher_wants is not None]
        trained = train(
            build(student),
            terms,
            self.optimizer,
            _check_loop(self),
            ctx,
            rows,
            sampler=self.sampler,
            hooks=self.hooks,
            transformers=self._transformers,
            teacher=self._teacher(models, texts, rows, ctx, _union(asked)) if asked else None,
            score=_score(student, ctx),
        )
        return models.with_slots(student=slot_like(trained, student))

    def _teacher(self, models: Models, texts: Split, rows: Rows, ctx: Context, wants: Wants) -> Teacher:
        """Outputs of the teacher that all trials share stay in the common cache, those of a trial's own with its loop.

        The teacher reads the same rows by its own tokenizer. Where batches are transformed nothing could be read from
        a cache.
        """
        slot = models["teacher"]
        own = rows if slot.tokenizer == models["student"].tokenizer else _rows(texts, slot, ctx)
        seen = SameRows(rows, own)
        if self._transformers:
            return LiveTeacher(slot, ctx, wants, seen)
        shared = "dense_teacher" in models and models["dense_teacher"].content == slot.content
        return TeacherOutputs(slot, own, ctx if shared else replace(ctx, cache=ctx.folder), wants, seen=seen)

    @property
    def _reads_teacher(self) -> bool:
        return any("teacher" in term.facts.needs for term in self.objectives)

    def _texts(self, ctx: Context) -> Split:
        """The rows to train on: with those without labels where a teacher labels them, and the copy that the text
        augmenters together make of them all."""
        rows = ctx.task.train
        if ctx.task.unlabelled is not None and self._reads_teacher:
            rows = rows.plus(ctx.task.unlabelled)
        copy = rows
        for augmenter in self._policy:
            copy = augmenter.rewrite(copy, ctx)
        return rows.plus(copy) if self._policy else rows

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """The student's training, the objectives' and hooks' own products, the passes of the teacher and of models that
        rewrite texts.

        The teacher passes once over all rows (its outputs are kept), or at every step where rows are transformed.
        Raises SpecError where there are too few steps for the optimizer or a hook.
        """
        rows, factor = sizes.rows + (sizes.unlabelled if self._reads_teacher else 0), 1.0
        n_read = 2 * rows if self._policy else rows
        if self.sampler is None:  # a sampler's epochs may be longer
            require_steps(n_steps(self.epochs, batches_of(n_read, self.batch_size)), (self.optimizer, *self.hooks))
        if sizes.student is None:
            return Cost(0.0, known=False), sizes
        rewriting = sum((augmenter.cost(sizes) for augmenter in self._policy), Cost(0.0))
        rewritten = Cost(rows * rewriting.macs, rewriting.known)
        for transformer in self._transformers:
            factor *= transformer.factor
        per_row = sizes.student.macs(sizes.length) + sum(term.cost(sizes) for term in self.objectives)
        macs = TRAINING_FACTOR * self.epochs * n_read * factor * per_row
        macs += self.epochs * n_read / self.batch_size * sum(hook.cost(sizes) for hook in self.hooks)
        if self._reads_teacher:
            passes = self.epochs * factor if self._transformers else 1.0
            macs += passes * n_read * sizes.teacher.macs(sizes.length)
        for hook in self._reshaping:
            sizes = hook.sizes_after(sizes)
        return Cost(macs) + rewritten, sizes


def _rows(texts: Split, slot: Slot, ctx: Context) -> Rows:
    return ctx.rows("train", slot) if texts is ctx.task.train else ctx.encode(texts, slot)


def _union(wants: list[Wants]) -> Wants:
    total = Wants()
    for item in wants:
        total = total | item
    return total
