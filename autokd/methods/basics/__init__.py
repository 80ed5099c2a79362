"""What every pipeline may use, whatever papers it combines: stages, objectives, augmenters, a hook, an optimizer."""

from autokd.methods.basics.augmenters import Mixup, WordSwap
from autokd.methods.basics.hidden import HiddenMSE
from autokd.methods.basics.objectives import Labels, Logits
from autokd.methods.basics.optimizers import AdamW
from autokd.methods.basics.pruning import MagnitudePruning
from autokd.methods.basics.relations import Relations
from autokd.methods.basics.shaping import PruneToShape
from autokd.methods.basics.students import LoadStudent, Rewind, TruncateLayers
from autokd.methods.basics.training import Distil, FineTuneTeacher

__all__ = [
    "AdamW",
    "Distil",
    "FineTuneTeacher",
    "HiddenMSE",
    "Labels",
    "LoadStudent",
    "Logits",
    "MagnitudePruning",
    "Mixup",
    "PruneToShape",
    "Relations",
    "Rewind",
    "TruncateLayers",
    "WordSwap",
]
