"""What methods say of themselves before anything runs: facts, wanted tensors, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autokd.core.shape import EncoderShape
from autokd.core.task import DataKind

TEXT: frozenset[DataKind] = frozenset({"text"})
GRAPH: frozenset[DataKind] = frozenset({"graph"})
ANY_DATA: frozenset[DataKind] = TEXT | GRAPH


@dataclass(frozen=True)
class Facts:
    """What a method needs to hold before it runs, must not find, and makes true or untrue.

    ``data`` are the kinds of data that it works on: texts, unless it says otherwise.

    Slots are facts of their own name. Further facts in use: ``text`` or ``graph`` (what the task's rows are),
    ``classification``, ``regression`` (the task),
    ``trained_student`` (the student was distilled or fine-tuned, and its teacher has not been cut since),
    ``hash_routed`` (the student's experts are chosen by token id), ``gated`` (they are by a gate that trains along),
    ``reads_neighbours`` (the student reads a node's neighbours),
    ``encoder_teacher`` (the teacher can be sliced, and gives gradients of masks, queries, keys and values),
    ``teacher_tokenizer:HASH`` and ``student_tokenizer:HASH``. Giving ``name:value`` replaces every other value of that
    name; dropping ``name`` drops them all. A stage that makes a student of the teacher drops ``student_tokenizer``: the
    student then has the teacher's. ``other_tokenizers`` holds where both are known and differ; nobody gives it.

    ``of`` names the slots that what it gives was made from: a stage that gives one of these anew drops it.
    """

    needs: frozenset[str] = frozenset()
    forbids: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    of: frozenset[str] = frozenset()
    data: frozenset[DataKind] = TEXT


@dataclass(frozen=True)
class BaseModel:
    """What a pipeline's check knows of a pretrained model that a stage names.

    ``is_encoder``: of a family that ``autokd.models.encoder`` loads; any other can only be a teacher. ``tokenizer``: a
    hash of how it splits texts, equal where token ids are (empty: not looked at). ``is_tuned``: a classifier that
    already tells this task's labels apart.
    """

    name: str
    is_encoder: bool = True
    tokenizer: str = ""
    is_tuned: bool = False


@dataclass(frozen=True)
class Wants:
    """Which tensors of a forward pass someone will read.

    ``hidden`` lists indices of hidden states, 0 the embedding output, ``i`` the output of layer ``i`` (1-based).
    ``attention`` asks for the queries, keys and values of every layer, ``gates`` for the probabilities of gates that
    choose among experts.
    """

    hidden: frozenset[int] = frozenset()
    attention: bool = False
    gates: bool = False

    def __or__(self, other: Wants) -> Wants:
        return Wants(self.hidden | other.hidden, self.attention or other.attention, self.gates or other.gates)


# What a method may name beside teacher and student: pretrained models, supernets that were made ahead, texts.
ASSET_KINDS = ("masked_lm", "translator", "supernet", "corpus")


@dataclass(frozen=True)
class TextModel:
    """What a forecast knows of a pretrained model that writes text.

    Multiply-accumulates per token that it reads (the encoder's) and per token that it writes (its output layer's and,
    where it has one, its decoder's).
    """

    read_macs: float
    write_macs: float


@dataclass(frozen=True)
class Corpus:
    """What a forecast knows of texts without a task: how many, and their mean length in tokens as it is read."""

    rows: int
    length: float


@dataclass(frozen=True)
class Sizes:
    """What a forecast knows at some point of a pipeline: data, and the shapes of the networks so far.

    ``rows`` is the number of training rows, ``length`` the mean of their ``extents`` (tokens). ``unlabelled``
    counts the rows beside them that objectives of the teacher read as well. A shape is None where it cannot
    be known beforehand; costs that follow are then marked as unknown. ``dense_teacher`` None: the teacher itself.
    ``bases`` holds the shapes of the pretrained models that the pipeline names, as far as they are known, and
    ``tuned`` those among them that already tell this task's labels apart, and ``tokenizers`` how each splits texts, as
    ``BaseModel`` says; ``tokenizer`` is the teacher's (empty: not known). ``added`` says of slots that stages add what
    the forecasts of later methods need to know. ``assets`` holds what is known of what methods name beside them: a
    ``TextModel``, a ``Corpus``, a supernet's ``SupernetSizes``. Where a stage chooses among students, ``student`` is
    the costliest that it may choose, and ``is_bound`` holds.
    """

    rows: int
    length: float
    teacher: EncoderShape
    student: EncoderShape | None = None
    student_init: EncoderShape | None = None
    dense_teacher: EncoderShape | None = None
    bases: Mapping[str, EncoderShape] = field(default_factory=dict)
    tuned: frozenset[str] = frozenset()
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    tokenizer: str = ""
    unlabelled: int = 0
    added: Mapping[str, object] = field(default_factory=dict)
    assets: Mapping[str, object] = field(default_factory=dict)
    is_bound: bool = False


@dataclass(frozen=True)
class Cost:
    """Forecast of a stage: training multiply-accumulates, without validation; ``known`` False where it is a guess."""

    macs: float
    known: bool = True

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.known and other.known)


# A backward pass costs twice a forward pass: one product for the inputs' gradient and one for the weights'.
TRAINING_FACTOR = 3.0
