"""AutoDistil's first part: one supernet for a sub-space, taught by relations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from autokd.contracts import Context, Slot
from autokd.core.shape import EncoderShape
from autokd.methods.basics.supernets import SupernetTraining
from autokd.models.subspaces import Subspace
from autokd.models.supernet import supernet_from


@dataclass(frozen=True)
class TrainSupernet(SupernetTraining):
    """Trains every sub-network of a sub-space at once, in shared weights, to keep the teacher's relations.

    What: the supernet starts as the fine-tuned teacher itself, of which each sub-network is the leading rows and
        columns: hidden channels, heads (of the teacher's width), neurons, and evenly chosen layers. At each step the
        largest, the smallest and some random sub-networks read one batch, each against the fixed teacher, and their
        gradients are added up. No label is looked at: the rows are the task's training texts and those without labels.
        Trials and studies with equal fields, teacher and texts share one supernet.
    Equation: at step t, ``sum over a in {max, min, a_1 .. a_n} of L(a)``, with the loss between the last kept layer
        of a and the teacher's; layer i of d kept ones is the teacher's ``floor(i L / d)``.
    Symbols: space: which sub-space, base, small or tiny, in proportion where the teacher is smaller than BERT-base;
        loss: the relation loss; n_random: n; optimizer, epochs, batch_size, warmup_share; clip_norm: bound on the
        norm of the sum; dropout: rate, nothing for the teacher's own.
    Source: AutoDistil, arXiv:2201.12507, slicing, sampling and tables as in its released code.
    Differences: depths of 9 to 12 layers of a teacher of 12, and so on, are whole numbers for smaller teachers: there
        are fewer than 256 sub-networks then. Sizes are counted on the tensors that are left (the released formula
        takes heads for narrower than they are); padding is masked; integer widths (the released multipliers lose a
        channel). What no sub-network uses of the teacher is left out of the supernet. Always replicate 0.
    """

    source: ClassVar[str] = "2201.12507"

    def start(self, teacher: Slot, shape: EncoderShape, found: Subspace, ctx: Context) -> Slot:
        return supernet_from(teacher, shape, found)
