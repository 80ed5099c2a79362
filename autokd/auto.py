"""Makes compressed checkpoints known to ``transformers``: import this module, then use its Auto classes as ever.

Needed only for shapes that ``transformers`` cannot build itself; plain ones load without it::

    import autokd.auto
    from transformers import AutoModelForSequenceClassification
    model = AutoModelForSequenceClassification.from_pretrained("path/to/checkpoint")
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from autokd.contracts import Batch
from autokd.core.errors import SpecError
from autokd.models.encoder import Encoder
from autokd.models.export import AUTOKD_TYPE

__all__ = ["AutokdConfig", "AutokdForSequenceClassification"]


class AutokdConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The configuration of a compressed encoder: ``shape`` is ``EncoderShape.to_json()``."""

    model_type = AUTOKD_TYPE
    shape: dict[str, Any] | None = None


class AutokdForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A compressed encoder behind the interface of ``transformers``; training it goes through that library's tools."""

    config_class = AutokdConfig
    base_model_prefix = "encoder"

    def __init__(self, config: AutokdConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        if config.shape is None:
            raise SpecError(f"a configuration of type {AUTOKD_TYPE!r} has a shape, but this one has none.")
        self.encoder = Encoder.from_config(config.shape)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: an encoder starts at zero and is filled from a checkpoint."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """The tokenizer's outputs, each [batch, length], to ``.logits`` [batch, n_labels]; ``.loss`` with labels."""
        batch = Batch(
            ids=input_ids,
            types=torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids,
            mask=torch.ones_like(input_ids) if attention_mask is None else attention_mask,
            labels=torch.zeros_like(input_ids[:, 0]),
            rows=torch.arange(input_ids.shape[0], device=input_ids.device),
        )
        logits = self.encoder(batch, dropout=_drop if self.training else None).logits
        return SequenceClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type == "regression":
            return nn.functional.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        return nn.functional.cross_entropy(logits, labels)


def _drop(value: Tensor, rate: float) -> Tensor:
    return nn.functional.dropout(value, rate)


AutoConfig.register(AUTOKD_TYPE, AutokdConfig, exist_ok=True)
AutoModelForSequenceClassification.register(AutokdConfig, AutokdForSequenceClassification, exist_ok=True)
