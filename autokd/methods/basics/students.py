"""Stages that make a student: some of the teacher's layers, a pretrained model, and back to its start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from autokd.contracts import ANY_DATA, BaseModel, Context, Cost, Facts, Models, Sizes
from autokd.core.errors import SpecError
from autokd.methods.basics import checks
from autokd.models.elastic import shape_of, spread, take_layers
from autokd.models.families import FAMILIES

TAKES = ("even", "first", "last")


@dataclass(frozen=True)
class TruncateLayers:
    """Makes a student of some of the fine-tuned teacher's layers.

    What: embeddings, chosen layers, pooler and classifier are copied; the student's exact start is remembered for
        Rewind. The layers come from the dense teacher, whatever became of ``teacher`` since.
    Equation: even: layer ``floor(i * (L - 1) / (keep - 1) + 1/2)`` for ``i = 0 .. keep - 1`` of L, 0-based.
    Symbols: keep: number of layers; take: ``even`` from the first to the last at equal distances, ``first``, ``last``.
    Source: common practice; ``even`` is DistilBERT's choice (arXiv:1910.01108), ``first`` StarK's (arXiv:2210.03923).
    Differences: none.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "1910.01108"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"dense_teacher", "encoder_teacher"}),
        gives=frozenset({"student", "student_init"}),
        drops=frozenset({"trained_student", "hash_routed", "gated", "student_tokenizer"}),
    )

    keep: int = 3
    take: str = "even"

    def __post_init__(self) -> None:
        checks.whole(self, "keep", 1)
        checks.one_of(self, "take", TAKES)

    def run(self, models: Models, ctx: Context) -> Models:
        """Raises SpecError where the teacher has fewer layers than are to be kept."""
        teacher = models["dense_teacher"]
        student = take_layers(teacher, spread(self.keep, shape_of(teacher).depth, self.take))
        return models.with_slots(student=student, student_init=student)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """Free. Raises SpecError where the teacher has fewer layers than are to be kept."""
        teacher = sizes.dense_teacher or sizes.teacher
        kept = spread(self.keep, teacher.depth, self.take)
        student = teacher.with_layers(tuple(teacher.layers[i] for i in kept))
        return Cost(0.0), replace(sizes, student=student, student_init=student)


@dataclass(frozen=True)
class LoadStudent:
    """Makes a student of a small pretrained model, with a tokenizer of its own.

    What: a checkpoint of the hub or of a folder (BERT, RoBERTa, DistilBERT or ELECTRA) with a fresh classification
        head is the student and its exact start. Where its tokenizer splits texts differently than the teacher's, the
        teacher still reads the same rows by its own tokenizer, and only objectives that compare whole rows are legal.
    Equation: ``student := pretrained``
    Symbols: model: hub id or folder of the checkpoint.
    Source: Turc et al., arXiv:1908.08962 (pretrained distillation: a small model is pretrained before it is distilled).
    Differences: a head of the task's width that the checkpoint holds is kept.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "1908.08962"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"teacher"}),
        gives=frozenset({"student", "student_init"}),
        drops=frozenset({"trained_student", "hash_routed", "gated", "student_tokenizer"}),
    )

    model: str = "gaunernst/bert-L4-H256-uncased"

    def __post_init__(self) -> None:
        if self.model in ("", "auto"):
            raise checks.refusal(self, "model", "a hub id or a folder", self.model)

    def facts_with(self, base: BaseModel) -> Facts:
        """Raises SpecError for a model that cannot be a student."""
        if not base.is_encoder:
            raise SpecError(
                f"LoadStudent.model must be a model of the families {', '.join(FAMILIES)}, but {base.name!r} is not; "
                "other models can be teachers."
            )
        return Facts(
            needs=self.facts.needs,
            gives=self.facts.gives | {f"student_tokenizer:{base.tokenizer}"},
            drops=frozenset({"trained_student", "hash_routed", "gated"}),
        )

    def run(self, models: Models, ctx: Context) -> Models:
        student = ctx.base(self.model, ctx.seeds)
        return models.with_slots(student=student, student_init=student)

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """Free; the student's shape is known where the model's is."""
        student = sizes.bases.get(self.model)
        return Cost(0.0), replace(sizes, student=student, student_init=student)


@dataclass(frozen=True)
class Rewind:
    """Puts the student back to its exact start.

    What: the slot ``student`` becomes ``student_init`` again. The next distillation then sees the same batches and
        dropout as the first one did, because random streams do not depend on a stage's position.
    Equation: ``student := student_init``
    Symbols: none.
    Source: StarK, arXiv:2210.03923 (there after Frankle and Carbin, arXiv:1803.03635).
    Differences: data order and dropout are rewound too, the released code rewinds the weights alone.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2210.03923"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    facts: ClassVar[Facts] = Facts(
        needs=frozenset({"student_init"}),
        gives=frozenset({"student"}),
        drops=frozenset({"trained_student"}),
        data=ANY_DATA,
    )

    def run(self, models: Models, ctx: Context) -> Models:
        return models.with_slots(student=models["student_init"])

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        return Cost(0.0), replace(sizes, student=sizes.student_init)
