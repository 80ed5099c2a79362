"""Data in flight: tokenised rows, one step's batch, what a network makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from autokd.contracts.declarations import Wants
from autokd.core.shape import EncoderShape

_WHOLE = 1 - 1e-6  # weights of a mixture add up to 1, but for rounding


@dataclass(frozen=True)
class Rows:
    """The rows of one split as networks read them. Data of other kinds (nodes of a graph) come as a subclass.

    Texts are tokenised, and ragged: row ``i`` holds ``ids[offsets[i]:offsets[i + 1]]``.

    ids: int64 [n_tokens]; types: int64 [n_tokens] (segment ids); offsets: int64 [n_rows + 1];
    labels: int64 [n_rows] class ids (-100: none), or float32 [n_rows] (NaN: none); keys: int64 [n_rows], a content
    hash of each row's tokens, by which teacher outputs are cached.
    """

    ids: Tensor
    types: Tensor
    offsets: Tensor
    labels: Tensor
    keys: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Tensor:
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def extents(self) -> Tensor:
        """What the cost of a row grows with, float64 [n_rows]: the ``length`` of shapes, here the row's tokens."""
        return self.lengths.double()

    @property
    def whole(self) -> bool:
        """Whether a pass over a few rows costs about as much as one over all of them, so all are scored at once."""
        return False

    def batch(self, indices: Tensor, width: int | None = None) -> Batch:
        """The batch of the rows at ``indices`` [batch], padded with zeros to ``width`` (None: the longest of them)."""
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        steps = torch.arange(int(lengths.max()) if width is None else width)
        mask = steps < lengths.unsqueeze(1)
        places = (starts.unsqueeze(1) + steps) * mask
        return Batch(
            ids=self.ids[places] * mask,
            types=self.types[places] * mask,
            mask=mask.long(),
            labels=self.labels[indices],
            rows=indices,
        )


@runtime_checkable
class Transform(Protocol):
    """A recipe that one batch carries and every network applies, whatever its width (mixup: who with whom)."""

    def embeddings(self, value: Tensor) -> Tensor:
        """From word embeddings [batch, length, width] to those that the encoder reads."""

    def mask(self, value: Tensor) -> Tensor:
        """From the padding mask [batch, length] (1 real, 0 padding) to the one to use."""

    def segments(self, value: Tensor) -> Tensor:
        """From segment ids [batch, length], which cannot be mixed, to those of the new rows."""

    def targets(self, value: Tensor) -> Tensor:
        """From targets [batch, n_outputs] (probabilities, or values for regression) to those of the new rows."""


@dataclass(frozen=True)
class Batch:
    """One step's rows. ``ids, types, mask`` are [batch, length] int64 (mask: 1 real, 0 padding), ``labels`` [batch].

    ``rows`` [batch] are positions in the training rows. Data of other kinds (a graph) come as a subclass with what
    its networks read; the loop itself looks at ``rows``, ``labels`` and ``transform`` only.
    """

    ids: Tensor
    types: Tensor
    mask: Tensor
    labels: Tensor
    rows: Tensor
    transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        """Every tensor on this device but ``rows``, which index what lies in main memory."""
        if device.type == "cpu":
            return self
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in found.items()
            if isinstance(value, Tensor) and name != "rows"
        }
        return replace(self, **moved)

    def targets(self, n_outputs: int) -> Tensor:
        """Gold targets as [batch, n_outputs]: one-hot classes or regression values, mixed where a recipe says so.

        Rows without a label are all zeros; ``labelled`` tells them apart.
        """
        if n_outputs == 1:
            target = self.labels.float().nan_to_num().unsqueeze(1)
        else:
            has_class = (self.labels >= 0).unsqueeze(1)
            target = nn.functional.one_hot(self.labels.clamp(min=0), n_outputs).float() * has_class
        return self._mixed(target)

    def labelled(self) -> Tensor:
        """Which rows of ``targets`` have a label, as bool [batch]; a mixed row needs those of both its sources."""
        labels = self.labels
        known = ~labels.isnan() if labels.is_floating_point() else labels >= 0
        return self._mixed(known.float().unsqueeze(1)).squeeze(1) > _WHOLE

    def _mixed(self, target: Tensor) -> Tensor:
        return self.transform.targets(target) if self.transform is not None else target


@dataclass(frozen=True)
class Outputs:
    """What a forward pass returns: ``logits`` [batch, n_outputs], ``mask`` [batch, length] as it was used,
    ``hidden`` {index: [batch, length, width]}, ``attention`` a tuple over layers of (Q, K, V), each
    [batch, heads, length, head_width], ``gates`` a tuple over layers with a gate of its probabilities, each
    [batch, length, experts], or [batch, experts] where it chooses once for a row. Only what was wanted is there.
    """

    logits: Tensor
    mask: Tensor
    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    attention: tuple[tuple[Tensor, Tensor, Tensor], ...] = ()
    gates: tuple[Tensor, ...] = ()


@runtime_checkable
class Dropout(Protocol):
    """Dropout with a random stream of its own: nothing here draws from torch's global generator."""

    def __call__(self, value: Tensor, rate: float) -> Tensor: ...


class Network(nn.Module):
    """A network that the loop can train: a batch in, outputs out.

    ``dropout`` None means evaluation (no dropout at all). ``head_masks`` and ``neuron_masks`` ([depth] lists of
    [heads] and [ffn] tensors, or [batch, heads] and [batch, ffn] for each row its own) multiply heads' contexts and
    FFN activations; their gradients score them.
    ``reach``: how far away the rows are that a row's logits depend on; 0: it depends on no other row. Layers of a graph
    network that read neighbours count one each.
    """

    shape: EncoderShape
    reach: int = 0

    def forward(
        self,
        batch: Batch,
        wants: Wants = Wants(),  # noqa: B008 - frozen value
        *,
        dropout: Dropout | None = None,
        head_masks: Sequence[Tensor] | None = None,
        neuron_masks: Sequence[Tensor] | None = None,
    ) -> Outputs:
        raise NotImplementedError


@runtime_checkable
class ManyNetworks(Protocol):
    """A module that is many networks, which share its weights.

    A step of the loop trains some of them on one batch: each has a pass forward and back of its own, and their
    gradients are added up for one step of the optimizer.
    """

    def members(self, step: int) -> Sequence[Callable[..., Outputs]]:
        """The networks that step number ``step`` (from 0) trains, each called as a ``Network`` is.

        They depend on the number alone, so that a loop that goes on trains the same ones.
        """
