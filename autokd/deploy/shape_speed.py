"""How fast encoders of some shapes are beside another one: speed depends on shapes alone, so that any weights do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from autokd.contracts import Batch
from autokd.core.shape import EncoderShape
from autokd.deploy.latency import measure
from autokd.deploy.runtimes import on_threads
from autokd.models.encoder import Encoder
from autokd.models.linear import initialise

SECONDS = 1.0  # of timing two encoders, unless the fewest calls take longer
_WORDS = 1000  # looking words up costs nothing, drawing a whole vocabulary does
_OWN, _BESIDE = "own", "beside"


class ShapeRuntime:
    """An encoder of a shape with random weights and few words, on the CPU in float32, for rows of ``length`` tokens."""

    def __init__(self, shape: EncoderShape, length: int) -> None:
        self.vocabulary, self.positions = _WORDS, length
        self._encoder = Encoder(replace(shape, vocabulary=_WORDS, positions=length)).eval()
        initialise(self._encoder, 0)

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits [batch, n_outputs] of the tokenizer's outputs, int64 [batch, length] each."""
        ids, mask, types = (
            torch.from_numpy(inputs[name]) for name in ("input_ids", "attention_mask", "token_type_ids")
        )
        none = torch.zeros(len(ids), dtype=torch.int64)
        with torch.inference_mode():
            found: np.ndarray = self._encoder(Batch(ids, types, mask, none, none)).logits.numpy()
        return found


@dataclass(frozen=True)
class Beside:
    """Times encoders in turns with one of the shape ``other``: a text of ``length`` tokens at a time, on one thread."""

    other: EncoderShape
    length: int

    def share(self, shape: EncoderShape) -> float:
        """The median time of an encoder of this shape, as a share of the other one's."""
        runtimes = {_OWN: ShapeRuntime(shape, self.length), _BESIDE: self._beside}
        with on_threads(1):
            times = measure(runtimes, batch=1, length=self.length, seconds=SECONDS)
        return times[_OWN].median_ms / times[_BESIDE].median_ms

    @cached_property
    def _beside(self) -> ShapeRuntime:
        return ShapeRuntime(self.other, self.length)
