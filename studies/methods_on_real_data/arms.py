"""What is compared: one student (3 of MiniLM's 6 layers), trained in different ways, each a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
LOGITS: Json = {"use": "basics:Logits", "form": "kl", "temperature": 2.0}
LOGITS_MSE: Json = {"use": "basics:Logits", "form": "mse"}  # the only form that regression has
LABELS: Json = {"use": "basics:Labels"}
LEARNING_RATES = (3e-5, 1e-4, 3e-4)
LAYERS = 3
# A teacher worth learning from: with 3 epochs at 5e-5, MiniLM hardly learns CoLA from 2,500 rows.
TEACHER_EPOCHS, TEACHER_LR = 8, 1e-4


@dataclass(frozen=True)
class Setting:
    """What all arms of a task share: the form of the logits' loss, epochs, batch size and the learning rate."""

    regression: bool
    epochs: float
    lr: float
    batch_size: int

    @property
    def logits(self) -> Json:
        return LOGITS_MSE if self.regression else LOGITS


@dataclass(frozen=True)
class Arm:
    """One way to train. ``stages(setting)`` follow the teacher and the truncated student.

    ``prunes`` arms need more steps than the others and run on a task of their own; ``claim`` is the arm that the
    paper says this one is better than.
    """

    name: str
    stages: Callable[[Setting], list[Json]]
    prunes: bool = False
    claim: str = ""

    def pipeline(self, setting: Setting) -> Json:
        """The whole pipeline, with what every arm has in common in front."""
        return started(self.stages(setting), LAYERS, TEACHER_EPOCHS)


def started(stages: list[Json], layers: int, teacher_epochs: float) -> Json:
    """A pipeline of these stages behind the fine-tuned teacher and a student of so many of its layers."""
    teacher = {
        "use": "basics:FineTuneTeacher",
        "model": "minilm",
        "epochs": teacher_epochs,
        "optimizer": {"use": "basics:AdamW", "lr": TEACHER_LR},
    }
    return {"stages": [teacher, {"use": "basics:TruncateLayers", "keep": layers}, *stages], "form": "float32"}


def distil(setting: Setting, *objectives: Json, optimizer: Json | None = None, **fields: Any) -> Json:
    """A Distil stage at the setting's length and learning rate, by AdamW unless another optimizer is named."""
    return {
        "use": "basics:Distil",
        "objectives": list(objectives),
        "optimizer": {**(optimizer or {"use": "basics:AdamW"}), "lr": setting.lr},
        "epochs": setting.epochs,
        "batch_size": setting.batch_size,
        **fields,
    }


def _logits_and(*more: Json, **fields: Any) -> Callable[[Setting], list[Json]]:
    return lambda setting: [distil(setting, setting.logits, *more, **fields)]


def _stark(share: float) -> Callable[[Setting], list[Json]]:
    def stages(setting: Setting) -> list[Json]:
        trial = distil(setting, setting.logits)
        return [trial, {"use": "stark:SparsifyTeacher", "share": share}, {"use": "basics:Rewind"}, trial]

    return stages


def _ted(objective: Json | None) -> Callable[[Setting], list[Json]]:
    """From the start that TED has: a student fine-tuned on the task, with filters learnt for it and its teacher."""

    def stages(setting: Setting) -> list[Json]:
        start = [distil(setting, LABELS)]
        if objective is not None and objective["use"] == "ted:FilteredHidden":
            start.append({"use": "ted:LearnFilters", "epochs": setting.epochs, "batch_size": setting.batch_size})
        return [*start, distil(setting, setting.logits, *([] if objective is None else [objective]))]

    return stages


# One step size per entry, as AdamW has, so that the same learning rates fit both.
ADASHIFT: Json = {"use": "adashift:AdaShift", "phi": "none"}
HIDDEN_MSE: Json = {"use": "basics:HiddenMSE"}


def _prunings() -> list[Arm]:
    """PLATON and magnitude, of single weights at two sparsities and of whole heads and neurons."""
    found = []
    for use, name, keep in (
        ("platon:Platon", "80 %", 0.2),
        ("platon:Platon", "90 %", 0.1),
        ("platon:StructuredPlaton", "structured 50 %", 0.5),
    ):
        for title, score in (("PLATON", "platon"), ("magnitude", "magnitude")):
            hooks = [{"use": use, "keep": keep, "score": score}]
            claim = f"magnitude {name}" if score == "platon" else ""
            found.append(Arm(f"{title} {name}", _logits_and(hooks=hooks), prunes=True, claim=claim))
    return found


ARMS = (
    Arm("fine-tune", lambda setting: [distil(setting, LABELS)]),
    Arm("logits KD", _logits_and(), claim="fine-tune"),
    Arm("layer-wise MSE", _logits_and(HIDDEN_MSE), claim="logits KD"),
    Arm("layer-wise cosine", _logits_and({"use": "distiller:Cosine"})),
    Arm("PKD", _logits_and({"use": "distiller:PKD"})),
    Arm("MI-alpha", _logits_and({"use": "mi_alpha:MutualInformation"}), claim="layer-wise MSE"),
    Arm("TED's start, logits KD", _ted(None)),
    Arm("TED's start, layer-wise", _ted({"use": "ted:ProjectedHidden", "weight": 5.0})),
    Arm("TED", _ted({"use": "ted:FilteredHidden", "weight": 100.0}), claim="TED's start, layer-wise"),
    Arm("StarK 30 %", _stark(0.3), claim="logits KD"),
    Arm("logits KD, AdaShift", _logits_and(optimizer=ADASHIFT), claim="logits KD"),
    Arm("dense", _logits_and(), prunes=True),
    *_prunings(),
)
