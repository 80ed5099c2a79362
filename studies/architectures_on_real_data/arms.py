"""What is compared: students of other shapes than their teacher, at three sizes, all distilled alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
TEACHER: Json = {
    "use": "basics:FineTuneTeacher",
    "model": "minilm",
    "epochs": 8,
    "optimizer": {"use": "basics:AdamW", "lr": 1e-4},
}
SIZES: Mapping[str, float] = {"1/2": 0.5, "1/4": 0.25, "1/8": 0.125}  # of the teacher's multiply-accumulates
# The sub-space that holds sub-networks of this size, as its published range is.
SPACES: Mapping[str, str] = {"1/2": "base", "1/4": "small", "1/8": "small"}


@dataclass(frozen=True)
class Arm:
    """One kind of student: the stages that make it at each size. ``beside``: the arms that it is compared with."""

    name: str
    stages: Callable[[str], list[Json]]
    beside: tuple[str, ...] = ("truncated",)

    def pipeline(self, size: str, lr: float, epochs: float, batch_size: int) -> Json:
        """The teacher, the student, and the distillation that all arms have in common."""
        last = {
            "use": "basics:Distil",
            "objectives": [{"use": "basics:Logits", "form": "kl", "temperature": 2.0}, {"use": "basics:Labels"}],
            "optimizer": {"use": "basics:AdamW", "lr": lr},
            "epochs": epochs,
            "batch_size": batch_size,
        }
        return {"stages": [TEACHER, *self.stages(size), last], "form": "float32"}


# Half of the layers, and as near as whole layers come to a quarter and an eighth of six.
_LAYERS = {"1/2": 3, "1/4": 2, "1/8": 1}


def _truncated(size: str) -> list[Json]:
    return [{"use": "basics:TruncateLayers", "keep": _LAYERS[size]}]


# Shares of the teacher's layers, and of each layer's heads and neurons, whose products are the sizes.
_SHARES: Mapping[str, Json] = {
    "1/2": {"layers": 1.0, "heads": 0.5, "ffn": 0.5},
    "1/4": {"layers": 0.5, "heads": 0.5, "ffn": 0.5},
    "1/8": {"layers": 0.5, "heads": 0.25, "ffn": 0.25},
}
# The same with narrower hidden states, that more layers stay.
_NARROW: Mapping[str, Json] = {
    "1/2": {"layers": 1.0, "hidden": 0.75, "heads": 0.67, "ffn": 0.67},
    "1/4": {"layers": 0.67, "hidden": 0.75, "heads": 0.5, "ffn": 0.5},
    "1/8": {"layers": 0.5, "hidden": 0.5, "heads": 0.5, "ffn": 0.5},
}


def _pruned(shares: Mapping[str, Json], **fields: Any) -> Callable[[str], list[Json]]:
    return lambda size: [{"use": "basics:PruneToShape", **shares[size], **fields}]


def supernet_name(kind: str, space: str) -> str:
    """What a pipeline calls the supernet of a kind that was made ahead of a sub-space."""
    return f"{kind}-{space}"


def _subnet(kind: str) -> Callable[[str], list[Json]]:
    return lambda size: [
        {"use": "autodistil:LoadSupernet", "supernet": supernet_name(kind, SPACES[size])},
        {"use": "autodistil:SearchSubnet", "macs": SIZES[size], "share": 0.05},
    ]


# Of the feed-forward networks' width a quarter halves the work; fewer layers do the rest.
_EXPERTS: Mapping[str, tuple[int, float]] = {"1/2": (6, 0.25), "1/4": (3, 0.25), "1/8": (2, 0.0625)}
_N_EXPERTS = 4


def _experts(number: int, times: float) -> Callable[[str], list[Json]]:
    """``number`` experts of ``times`` the width that makes the size."""

    def stages(size: str) -> list[Json]:
        layers, width = _EXPERTS[size]
        student = {"use": "basics:TruncateLayers", "keep": layers}
        return [student, {"use": "moebert:ToExperts", "of": "student", "experts": number, "width": times * width}]

    return stages


ARMS = (
    Arm("truncated", _truncated, beside=()),
    Arm("pruned, alike in all layers", _pruned(_SHARES, widths="uniform")),
    Arm("pruned, by layer", _pruned(_SHARES, widths="per_layer"), beside=("pruned, alike in all layers",)),
    Arm("pruned, narrow", _pruned(_NARROW, widths="uniform"), beside=("pruned, alike in all layers",)),
    Arm("AutoDistil", _subnet("plain"), beside=("truncated", "pruned, narrow")),
    Arm("Mixture-of-Supernets", _subnet("mixture"), beside=("AutoDistil",)),
    Arm("MoEBERT", _experts(_N_EXPERTS, 1.0), beside=("dense, one expert's width", "pruned, alike in all layers")),
    # Its controls: as wide as one expert, of the most important neurons, and all neurons that some expert has (each
    # has two thirds of its own in common with the others), for twice the work in feed-forward networks.
    Arm("dense, one expert's width", _experts(1, 1.0)),
    Arm("dense, all experts' neurons", _experts(1, 2.0), beside=("MoEBERT",)),
)
