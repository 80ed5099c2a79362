"""The one training loop: batch, forward, loss terms, backward, clip, optimizer, hooks, and again.

Every method that trains goes through ``train``. What differs between methods is handed in (loss terms, hooks,
samplers, batch transforms, optimizers) and saved with the loop: a run that was paused and resumed equals one that
was not, bit for bit. Nothing draws from global random streams.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from torch import nn

from autokd.contracts import (
    BatchSource,
    BatchTransformer,
    Context,
    Hook,
    LossTerm,
    OptimizerMethod,
    Rows,
    Sampler,
    TrainPlan,
)
from autokd.core.errors import Paused
from autokd.engine.batches import LengthBuckets
from autokd.engine.checkpoint import has_state, load_state, save_state
from autokd.engine.length import batches_of, n_steps, require_steps
from autokd.engine.options import LoopOptions
from autokd.engine.parameters import Vocabulary, frozen_embeddings
from autokd.engine.run import Parts, Run, Teacher

__all__ = ["LoopOptions", "Score", "Teacher", "train"]

Score = Callable[[nn.Module], float]

# How often a loop saves itself, and the largest share of its time that saving may take.
_SAVE_SECONDS = 10.0
_SAVE_SHARE = 0.02
_MOST_SCORES = 20  # beside the last one


def train(
    model: nn.Module,
    terms: Sequence[LossTerm],
    optimizer: OptimizerMethod,
    options: LoopOptions,
    ctx: Context,
    rows: Rows,
    *,
    sampler: Sampler | None = None,
    hooks: Sequence[Hook] = (),
    transformers: Sequence[BatchTransformer] = (),
    teacher: Teacher | None = None,
    score: Score | None = None,
) -> nn.Module:
    """Train a model in place and return what the hooks make of it at the end.

    Continues from the state in ``ctx.folder`` where there is one, saves itself there now and then, and when
    ``ctx.should_pause()`` says so saves and raises Paused. After each epoch (of very many: twenty times, evenly), and
    at the end, ``score(model)`` is reported. The state stays in ``ctx.folder`` for the caller to delete once its
    result is safe.
    Raises SpecError where the loop is too short for its optimizer or a hook, TrainingError naming the step where a loss
    is not finite, and where the state found is of another loop.
    """
    model = model.to(ctx.device).eval()  # dropout is an argument here: a module's own would draw from global streams
    source, plan = _source(model, options, ctx, rows, sampler)
    require_steps(plan.n_steps, (optimizer, *hooks))
    vocabulary = Vocabulary(model, None if options.freeze_embeddings else rows.ids)
    with frozen_embeddings(model, options.freeze_embeddings), vocabulary.cut():
        parts = Parts(model, tuple(terms), optimizer, tuple(hooks), tuple(transformers), source, teacher)
        run = Run(parts, plan, options, ctx, rows)
        if has_state(ctx.folder):
            run.load_state_dict(load_state(ctx.folder))
        _go(run, plan, vocabulary, ctx, score)
    for hook in run.hooks:
        model = hook.finish(model)
    return model


def _source(
    model: nn.Module, options: LoopOptions, ctx: Context, rows: Rows, sampler: Sampler | None
) -> tuple[BatchSource, TrainPlan]:
    """Where batches come from, and the loop's length by the source's own count of steps per epoch."""
    reach = int(getattr(model, "reach", 0))
    if sampler is None:
        source: BatchSource = LengthBuckets(rows, options.batch_size, ctx.seeds)
    else:
        source = sampler.build(rows, _plan(options, ctx, batches_of(len(rows), options.batch_size), reach))
    return source, _plan(options, ctx, source.steps_per_epoch, reach)


def _plan(options: LoopOptions, ctx: Context, steps_per_epoch: int, reach: int) -> TrainPlan:
    return TrainPlan(n_steps(options.epochs, steps_per_epoch), steps_per_epoch, options.batch_size, ctx.seeds, reach)


def _go(run: Run, plan: TrainPlan, vocabulary: Vocabulary, ctx: Context, score: Score | None) -> None:
    """From the run's step to the last one, with scores, saves and pauses between steps."""
    save_at = time.monotonic() + _SAVE_SECONDS
    score_every = plan.steps_per_epoch * math.ceil(plan.n_steps / (_MOST_SCORES * plan.steps_per_epoch))
    while run.step < plan.n_steps:
        pausing = ctx.should_pause()
        if pausing or time.monotonic() >= save_at:
            started = time.monotonic()
            save_state(ctx.folder, run.state_dict())
            ended = time.monotonic()
            save_at = ended + max(_SAVE_SECONDS, (ended - started) / _SAVE_SHARE)
        if pausing:
            raise Paused(f"at step {run.step} of {plan.n_steps}")
        run.advance()
        if score is not None and (run.step % score_every == 0 or run.step == plan.n_steps):
            run.confirm()
            with vocabulary.whole():
                ctx.report(run.step, score(run.parts.model))
    run.confirm()
