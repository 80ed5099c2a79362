"""A loop at work: what one step does, and the state that decides all steps to come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from autokd.contracts import (
    Batch,
    BatchSource,
    BatchTransformer,
    Context,
    Hook,
    LossTerm,
    ManyNetworks,
    OptimizerMethod,
    Outputs,
    Rows,
    TrainPlan,
    Wants,
)
from autokd.core.canonical import digest
from autokd.core.errors import SpecError, TrainingError
from autokd.core.seeds import Seeds
from autokd.engine.dropout import StreamDropout
from autokd.engine.gradients import Gradients
from autokd.engine.options import LoopOptions
from autokd.engine.parameters import parameter_groups
from autokd.engine.precision import autocast
from autokd.engine.schedule import learning_rate_factor


class Teacher(Protocol):
    """What answers for the teacher in a loop (usually ``TeacherOutputs``)."""

    def for_batch(self, batch: Batch) -> Outputs: ...


@dataclass(frozen=True)
class Parts:
    """What a loop is put together from."""

    model: nn.Module
    terms: tuple[LossTerm, ...]
    optimizer: OptimizerMethod
    hooks: tuple[Hook, ...]
    transformers: tuple[BatchTransformer, ...]
    source: BatchSource
    teacher: Teacher | None


class Run:
    """One loop between two of its steps. ``step`` is the number of steps made."""

    def __init__(self, parts: Parts, plan: TrainPlan, options: LoopOptions, ctx: Context, rows: Rows) -> None:
        """Raises SpecError where there is no loss term, or a term reads a teacher and there is none."""
        self.parts, self.step = parts, 0
        self._plan, self._options, self._ctx = plan, options, ctx
        self._terms = nn.ModuleList(parts.terms).to(ctx.device)
        _check_terms(parts)
        groups = parameter_groups(parts.model, parts.terms)
        self._gradients = Gradients([parameter for group in groups for parameter in group.parameters])
        self._optimizer = parts.optimizer.build(groups)
        self._peaks = [float(group["lr"]) for group in self._optimizer.param_groups]
        self.hooks = [hook.build(parts.model, plan) for hook in parts.hooks]
        self._wants: Wants = reduce(Wants.__or__, (term.student_wants for term in parts.terms), Wants())
        self._reads_teacher = any(term.teacher_wants is not None for term in parts.terms)
        self._dropout = StreamDropout(ctx.seeds.integer("dropout"), ctx.device, options.dropout)
        names = _distinct(parts.terms)
        self._term_dropouts = [StreamDropout(ctx.seeds.integer(f"dropout:{n}"), ctx.device) for n in names]
        self._draws = _streams(ctx.seeds, parts.transformers)
        self._unchecked: Tensor | None = None
        self._identity = digest(
            {
                "steps": [plan.n_steps, plan.steps_per_epoch, plan.batch_size],
                "options": asdict(options),
                "seeds": asdict(ctx.seeds),
                "rows": hashlib.sha256(rows.keys.numpy().tobytes() + rows.labels.numpy().tobytes()).hexdigest(),
                "methods": [repr(part) for part in (*parts.hooks, *parts.transformers, parts.optimizer)],
                "parts": [names, _distinct(parts.hooks), _distinct(parts.transformers), _distinct([parts.optimizer])],
                "parameters": [[group.names, [list(p.shape) for p in group.parameters]] for group in groups],
            }
        )

    def advance(self) -> None:
        """Make one step. Raises TrainingError where the loss is not finite."""
        batch = self.parts.source.next().to(self._ctx.device)
        for transformer, draw in zip(self.parts.transformers, self._draws, strict=True):
            batch = transformer.transform(batch, draw)
        taught = self._taught(batch)
        losses = []
        for network in self._networks():
            loss = self._loss(network, batch, taught)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        self._check(torch.stack(losses).sum())
        self._gradients.settle(self._options.clip_norm)
        self.step += 1
        factor = learning_rate_factor(self.step, self._plan.n_steps, self._options.warmup_share)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self._optimizer.step()
        for hook in self.hooks:
            hook.after_step(self.step)
        self._gradients.clear()

    def state_dict(self) -> dict[str, Any]:
        """Everything that later steps depend on. Raises TrainingError where the last loss was not finite."""
        self.confirm()
        return {
            "identity": self._identity,
            "step": self.step,
            "model": self.parts.model.state_dict(),
            "terms": self._terms.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "hooks": [hook.state_dict() for hook in self.hooks],
            "source": self.parts.source.state_dict(),
            "dropouts": [stream.state_dict() for stream in (self._dropout, *self._term_dropouts)],
            "draws": [draw.bit_generator.state for draw in self._draws],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises TrainingError where the state is of another loop (rows, options, seeds, parts, parameters)."""
        if state.get("identity") != self._identity:
            raise TrainingError(
                f"a loop resumes from its own state only, but the one in {str(self._ctx.folder)!r} is of a loop with "
                "other rows, options, seeds, loss terms or parameters."
            )
        self.step = int(state["step"])
        self.parts.model.load_state_dict(state["model"])
        self._terms.load_state_dict(state["terms"])
        self._optimizer.load_state_dict(state["optimizer"])
        for hook, told in zip(self.hooks, state["hooks"], strict=True):
            hook.load_state_dict(told)
        self.parts.source.load_state_dict(state["source"])
        for stream, told in zip((self._dropout, *self._term_dropouts), state["dropouts"], strict=True):
            stream.load_state_dict(told)
        for draw, told in zip(self._draws, state["draws"], strict=True):
            draw.bit_generator.state = told

    def _networks(self) -> Sequence[Callable[..., Outputs]]:
        """What reads the batch: the model, or those of its many networks whose turn it is."""
        model = self.parts.model
        return model.members(self.step) if isinstance(model, ManyNetworks) else (model,)

    def _taught(self, batch: Batch) -> Outputs | None:
        teacher = self.parts.teacher
        return teacher.for_batch(batch) if teacher is not None and self._reads_teacher else None

    def _loss(self, network: Callable[..., Outputs], batch: Batch, taught: Outputs | None) -> Tensor:
        with autocast(self._ctx.device, self._ctx.precision):
            seen = network(batch, self._wants, dropout=self._dropout)
            losses = [
                term(seen, taught, batch, dropout) * term.weight
                for term, dropout in zip(self.parts.terms, self._term_dropouts, strict=True)
            ]
        self.parts.source.observe(seen)
        return torch.stack([loss.float() for loss in losses]).sum()

    def _check(self, loss: Tensor) -> None:
        """On a CPU at once; on other devices one step late, so that nobody waits for the device."""
        if self._ctx.device.type != "cpu":
            self.confirm()
        self._unchecked = loss
        if self._ctx.device.type == "cpu":
            self.confirm(self.step + 1)

    def confirm(self, step: int | None = None) -> None:
        """Raises TrainingError where the last loss was not finite (waits for the device)."""
        loss, self._unchecked = self._unchecked, None
        if loss is not None and not bool(torch.isfinite(loss)):
            at = self.step if step is None else step
            raise TrainingError(f"a loss must be finite, but at step {at} of {self._plan.n_steps} it is {float(loss)}.")


def _check_terms(parts: Parts) -> None:
    if not parts.terms:
        raise SpecError("a loop needs at least one loss term, but got none.")
    if parts.teacher is None:
        readers = [type(term).__name__ for term in parts.terms if term.teacher_wants is not None]
        if readers:
            raise SpecError(f"these loss terms read a teacher, but the loop has none: {', '.join(readers)}.")


def _distinct(parts: Sequence[object]) -> list[str]:
    """A name for each part that another part before or behind it does not change, but one of the same class."""
    names: list[str] = []
    for part in parts:
        name = type(part).__name__
        names.append(f"{name}:{sum(other.partition(':')[0] == name for other in names)}")
    return names


def _streams(seeds: Seeds, parts: Sequence[object]) -> list[np.random.Generator]:
    return [seeds.numpy(f"transform:{name}") for name in _distinct(parts)]
