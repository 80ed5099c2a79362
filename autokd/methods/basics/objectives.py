"""Objectives that every pipeline may use: gold labels and the teacher's logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor

from autokd.contracts import ANY_DATA, Batch, Context, Dropout, Facts, LossTerm, Models, Outputs, Sizes
from autokd.core.errors import SpecError
from autokd.engine import losses
from autokd.methods.basics import checks

_BOTH = frozenset({"student", "teacher"})


@dataclass(frozen=True)
class Labels:
    """The task's own loss on gold labels.

    What: cross-entropy for classes, squared error for regression; under mixup the mixed targets. Rows without a
        label, which only the teacher labels, are left out.
    Equation: ``-mean_b sum_c y_bc log softmax(z_b)_c``, or ``mean_b (z_b - y_b)^2``
    Symbols: weight: of this term in the loss.
    Source: common practice.
    Differences: none.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(data=ANY_DATA)

    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.number(self, "weight", 0)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        return LabelsTerm(self.weight)

    def cost(self, sizes: Sizes) -> float:
        return 0.0


class LabelsTerm(LossTerm):
    """Cross-entropy, or squared error where there is one output, against the batch's gold targets."""

    teacher_wants = None

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        return task_loss(student.logits, batch)


def task_loss(logits: Tensor, batch: Batch) -> Tensor:
    """The mean loss of logits [batch, n_outputs] on the batch's gold targets; one output means regression.

    Rows without a label do not count, neither in the sum nor in the mean.
    """
    targets, labelled = batch.targets(logits.shape[1]), batch.labelled()
    if logits.shape[1] == 1:
        return losses.target_squared_error(logits, targets, labelled)
    return losses.target_cross_entropy(logits, targets, labelled)


def symmetric_kl(student: Tensor, teacher: Tensor, temperature: float, tau_squared: bool) -> Tensor:
    """Half the sum of the divergences in both directions (arXiv:2204.07675, equation 6); logits [batch, classes]."""
    forth = losses.kl_divergence(student, teacher, temperature, tau_squared)
    back = losses.kl_divergence(teacher, student, temperature, tau_squared)
    return (forth + back) / 2


_FORMS: Mapping[str, Callable[[Tensor, Tensor, float, bool], Tensor]] = MappingProxyType(
    {"kl": losses.kl_divergence, "ce": losses.soft_cross_entropy, "symmetric_kl": symmetric_kl}
)
FORMS = (*_FORMS, "mse")


@dataclass(frozen=True)
class Logits:
    """The student's logits follow the teacher's.

    What: class distributions softened by a temperature are compared, or the logits themselves (``mse``, the only
        form for regression: a softmax over a single logit is constant, its loss and gradient are 0).
    Equation: with ``p = softmax(z_t / T)``, ``q = softmax(z_s / T)`` and means over the batch,
        kl: ``T^2 KL(p || q)``; ce: ``-T^2 sum_c p_c log q_c``; symmetric_kl: ``T^2 (KL(p||q) + KL(q||p)) / 2``;
        mse: mean over classes of ``(z_s - z_t)^2``.
    Symbols: form: which of them; temperature: T; tau_squared: whether the factor ``T^2`` is there (temperature and
        factor play no part in mse); weight: of this term in the loss.
    Source: Hinton et al., arXiv:1503.02531. Other papers' conventions: Distiller (2109.11105) is ce or mse with T = 1
        without the factor, StarK (2210.03923) ce with T = 2 and the factor, MoEBERT (2204.07675) symmetric_kl, T = 1.
    Differences: none.
    """

    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = "1503.02531"
    version: ClassVar[int] = 1

    form: str = "kl"
    temperature: float = 2.0
    tau_squared: bool = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        checks.one_of(self, "form", FORMS)
        checks.above(self, "temperature", 0)
        checks.boolean(self, "tau_squared")
        checks.number(self, "weight", 0)

    @property
    def facts(self) -> Facts:
        forbids = frozenset() if self.form == "mse" else frozenset({"regression"})
        return Facts(needs=_BOTH, forbids=forbids, data=ANY_DATA)

    def build(self, models: Models, ctx: Context) -> LossTerm:
        """Raises SpecError for a form over classes on a regression task."""
        if ctx.n_outputs == 1 and self.form != "mse":
            raise SpecError(
                f"Logits.form must be 'mse' for regression (one logit has no distribution), got {self.form!r}."
            )
        return LogitsTerm(self)

    def cost(self, sizes: Sizes) -> float:
        return 0.0


class LogitsTerm(LossTerm):
    """One of the forms between the student's and the teacher's logits."""

    def __init__(self, method: Logits) -> None:
        super().__init__()
        self.weight = method.weight
        self._method = method

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch, dropout: Dropout) -> Tensor:
        method = self._method
        target = teacher_outputs(teacher).logits
        if method.form == "mse":
            return losses.mean_squared_error(student.logits, target)
        return _FORMS[method.form](student.logits, target, method.temperature, method.tau_squared)


def teacher_outputs(teacher: Outputs | None) -> Outputs:
    """The teacher's outputs. Raises ValueError where a term that compares with a teacher was given none."""
    if teacher is None:
        raise ValueError("this objective compares with a teacher, but there are no teacher outputs")
    return teacher
