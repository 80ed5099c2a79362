"""AutoDistil's first part: one supernet for a sub-space, taught by relations, in the study or ahead of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from autokd.contracts import Context, Cost, Facts, Models, Sizes, Slot
from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape
from autokd.methods.basics import checks
from autokd.methods.basics.supernets import SLOT, TEACHER_SLOT, SupernetTraining
from autokd.models.subspaces import Subspace, SupernetSizes
from autokd.models.supernet import supernet_from
from autokd.models.supernet_folder import load_supernet
from autokd.models.tokenizers import fingerprint


@dataclass(frozen=True)
class TrainSupernet(SupernetTraining):
    """Trains every sub-network of a sub-space at once, in shared weights, to keep the teacher's relations.

    What: the supernet starts as the fine-tuned teacher itself, of which each sub-network is the leading rows and
        columns: hidden channels, heads (of the teacher's width), neurons, and evenly chosen layers. At each step the
        largest, the smallest and some random sub-networks read one batch, each against the fixed teacher, and their
        gradients are added up. No label is looked at: the rows are those of a corpus, or the task's own, with those
        that have no labels. Trials and studies with equal fields, teacher and texts share one supernet.
    Equation: at step t, ``sum over a in {max, min, a_1 .. a_n} of L(a)``, with the loss between the last kept layer
        of a and the teacher's; layer i of d kept ones is the teacher's ``floor(i L / d)``.
    Symbols: space: which sub-space (base, small, tiny; wide and wide_and_deep are another paper's), in proportion
        where the teacher is smaller than BERT-base; corpus: a file with one text a line, nothing for the task's own;
        loss: the relation loss; n_random: n; optimizer, epochs, batch_size, warmup_share; clip_norm: bound on the norm
        of the sum; dropout: rate, nothing for the teacher's own.
    Source: AutoDistil, arXiv:2201.12507, slicing, sampling and tables as in its released code.
    Differences: depths of 9 to 12 layers of a teacher of 12, and so on, are whole numbers for smaller teachers: there
        are fewer than 256 sub-networks then. Sizes are counted on the tensors that are left (the released formula
        takes heads for narrower than they are); padding is masked; integer widths (the released multipliers lose a
        channel). Heads, channels and neurons
        that no sub-network uses are left out of the supernet. Always replicate 0. Learning
        rate and warm-up are for thousands of steps, not for a million (released: 4e-5 without warm-up).
    """

    source: ClassVar[str] = "2201.12507"

    def start(self, teacher: Slot, shape: EncoderShape, found: Subspace, ctx: Context) -> Slot:
        return supernet_from(teacher, shape, found)


@dataclass(frozen=True)
class LoadSupernet:
    """Takes a supernet that was made ahead by ``autokd supernet``, with the teacher that taught it.

    What: a supernet learnt from a pretrained teacher on texts of no task serves all studies of all tasks. Its head,
        which no relation teaches, is drawn anew for the task. Sub-networks are scored by the relations of that teacher;
        the fine-tuned one teaches them afterwards. Both must split texts alike.
    Equation: none.
    Symbols: supernet: the folder.
    Source: AutoDistil, arXiv:2201.12507: task-agnostic supernets.
    Differences: none.
    """

    kind: ClassVar[str] = "stage"
    source: ClassVar[str] = "2201.12507"
    version: ClassVar[int] = 1
    shared: ClassVar[bool] = True
    facts: ClassVar[Facts] = Facts(needs=frozenset({"teacher"}), gives=frozenset({SLOT, TEACHER_SLOT}))
    assets: ClassVar[Mapping[str, str]] = MappingProxyType({"supernet": "supernet"})

    supernet: str = "supernet"

    def __post_init__(self) -> None:
        if not self.supernet:
            raise checks.refusal(self, "supernet", "a folder", self.supernet)

    def run(self, models: Models, ctx: Context) -> Models:
        """Raises SpecError where the study's teacher splits texts in another way than the supernet's."""
        folder = ctx.asset(self.supernet)
        supernet, teacher = load_supernet(folder, ctx.n_outputs, replace(ctx.seeds, replicate=0))
        if fingerprint(str(folder)) != fingerprint(models["teacher"].tokenizer):
            raise self._splits_otherwise()
        return models.with_slots(**{SLOT: supernet, TEACHER_SLOT: teacher})

    def cost(self, sizes: Sizes) -> tuple[Cost, Sizes]:
        """Free. Raises SpecError as ``run`` does, where both tokenizers are known."""
        found = sizes.assets.get(self.supernet)
        if not isinstance(found, SupernetSizes):
            return Cost(0.0, known=False), sizes
        if found.tokenizer and sizes.tokenizer and found.tokenizer != sizes.tokenizer:
            raise self._splits_otherwise()
        return Cost(0.0), replace(sizes, added={**sizes.added, SLOT: found})

    def _splits_otherwise(self) -> SpecError:
        return SpecError(f"a supernet and the teacher split texts alike, but {self.supernet!r} has another tokenizer.")
