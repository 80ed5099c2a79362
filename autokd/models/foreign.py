"""Any text classifier that transformers can build, as a teacher: logits and hidden states, and nothing to cut.

Encoders of the families in ``models.families`` do not come here. A slot's configuration holds the one of transformers,
so that the network is built without the checkpoint's folder; only a model with code of its own needs that folder, and
the user's leave, each time it is built.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForSequenceClassification

from autokd.contracts import Batch, Dropout, Network, Outputs, Slot, Wants
from autokd.core.errors import SpecError
from autokd.core.seeds import Seeds
from autokd.core.shape import EncoderShape
from autokd.models.foreign_shape import foreign_config, shape_like
from autokd.models.labels import label_order
from autokd.models.quiet import quiet_transformers
from autokd.models.remote import is_trusted, require_trust
from autokd.models.slots import content_of

FOREIGN = "autokd.models.foreign:ForeignClassifier"


class ForeignClassifier(Network):
    """A sequence classifier of transformers behind this project's interface. Parameters lie below ``model``.

    Its dropout modules draw from the loop's stream; dropout inside fused attention kernels stays off. There are no
    head or neuron masks and no queries, keys and values.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """From a slot's configuration. Raises UsageError where the model's own code may not run."""
        super().__init__()
        self.shape = EncoderShape.from_json(config["shape"])
        self.model = _make(config)
        self._order: list[int] | None = config["order"]
        self._takes = frozenset(inspect.signature(self.model.forward).parameters)
        self._pad = int(self.model.config.get_text_config().pad_token_id or 0)
        self._stream = _Stream()
        _replace_dropouts(self.model, self._stream)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ForeignClassifier:
        return cls(config)

    @property
    def embeddings(self) -> nn.Module:
        """What reads token ids, to be frozen where a loop is asked for that."""
        return cast(nn.Module, self.model.get_input_embeddings())

    def forward(
        self,
        batch: Batch,
        wants: Wants = Wants(),  # noqa: B008 - frozen value
        *,
        dropout: Dropout | None = None,
        head_masks: Sequence[Tensor] | None = None,
        neuron_masks: Sequence[Tensor] | None = None,
    ) -> Outputs:
        """Logits [batch, n_outputs] and hidden states. Raises SpecError where more is asked for."""
        if wants.attention or wants.gates or head_masks is not None or neuron_masks is not None:
            kind = self.model.config.model_type
            raise SpecError(f"a teacher of type {kind!r} gives logits and hidden states, but more was asked for.")
        inputs = self._inputs(batch)
        self._stream.dropout = dropout
        try:
            seen = self.model(**inputs, output_hidden_states=bool(wants.hidden), return_dict=True)
        finally:
            self._stream.dropout = None
        logits = seen.logits if self._order is None else seen.logits[:, self._order]
        return Outputs(logits, inputs["attention_mask"], self._hidden(seen, wants))

    def _inputs(self, batch: Batch) -> dict[str, Tensor]:
        """The batch as the arguments of the model, with its own padding id and the batch's recipe applied."""
        ids = torch.where(batch.mask.bool(), batch.ids, self._pad)
        types, recipe = batch.types, batch.transform
        inputs = {"input_ids": ids, "attention_mask": batch.mask}
        if recipe is not None:
            words = self.model.get_input_embeddings()(ids)
            inputs = {"inputs_embeds": recipe.embeddings(words), "attention_mask": recipe.mask(batch.mask)}
            types = recipe.segments(types)
        return {**inputs, "token_type_ids": types} if "token_type_ids" in self._takes else inputs

    def _hidden(self, seen: Any, wants: Wants) -> dict[int, Tensor]:
        states = getattr(seen, "hidden_states", None) or ()
        if wants.hidden and max(wants.hidden) >= len(states):
            kind = self.model.config.model_type
            raise SpecError(f"hidden state {max(wants.hidden)} was asked of a {kind!r} that gives {len(states)}.")
        return {i: states[i] for i in wants.hidden}


class _Stream:
    """Where a network's dropout modules find the stream of the present forward pass; None: no dropout."""

    dropout: Dropout | None = None


class _StreamedDropout(nn.Module):
    """In place of ``nn.Dropout``: draws from the loop's stream, and only where there is one."""

    def __init__(self, rate: float, stream: _Stream) -> None:
        super().__init__()
        self._rate, self._stream = rate, stream

    def forward(self, value: Tensor) -> Tensor:
        drop = self._stream.dropout
        return value if drop is None else drop(value, self._rate)


def _replace_dropouts(model: nn.Module, stream: _Stream) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, _StreamedDropout(float(child.p), stream))


def load_foreign(folder: Path, n_outputs: int, seeds: Seeds, labels: Sequence[str] = ()) -> Slot:
    """A checkpoint of any architecture with a text classifier, as a slot with ``n_outputs`` logits.

    What its weights lack (a head of this width) is drawn as transformers does, from ``seeds``. Logits are in the order
    of ``labels`` where the head has these. Raises SpecError where transformers has no classifier of the architecture
    or cannot load the folder, UsageError where the model brings code that may not run.
    """
    config = foreign_config(folder)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seeds.integer("init:head"))
        model = _load(folder, n_outputs)
    order = label_order({"id2label": config.get("id2label")}, labels)
    told = json.loads(model.config.to_json_string(use_diff=False))
    shape = shape_like(model.config, n_outputs)
    found = {
        "transformers": {name: value for name, value in told.items() if name != "_name_or_path"},
        "code": str(folder) if _has_own_code(model) else "",
        "order": None if order is None or list(order) == sorted(order) else list(order),
        "hidden": shape.hidden,
        "shape": shape.to_json(),
    }
    weights = {f"model.{name}": value.detach().clone().contiguous() for name, value in model.state_dict().items()}
    return Slot(FOREIGN, found, weights, content_of(FOREIGN, found, weights), str(folder))


def _load(folder: Path, n_outputs: int) -> Any:
    try:
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder,
            output_loading_info=True,
            num_labels=n_outputs,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            trust_remote_code=is_trusted(),
        )
    except (OSError, ValueError, ImportError, RuntimeError, AttributeError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpecError(f"a teacher must load in transformers, but {str(folder)!r} does not: {why}") from error
    _refuse_half(model, told, folder)
    return model


def _refuse_half(model: Any, told: Mapping[str, Any], folder: Path) -> None:
    """Only what stands on top of the encoder may be missing, or of another size: a head is drawn, a body never."""
    wrong = [*told["missing_keys"], *(key if isinstance(key, str) else key[0] for key in told["mismatched_keys"])]
    body = sorted(key for key in wrong if key.startswith(f"{model.base_model_prefix}.") and "pooler" not in key)
    if body:
        raise SpecError(
            f"a teacher's checkpoint holds the weights of its encoder, but {str(folder)!r} lacks {', '.join(body[:3])}"
            f"{' and more' if len(body) > 3 else ''}."
        )


def _make(config: Mapping[str, Any]) -> Any:
    """An untrained network of a slot's configuration. Its random start is thrown away, and no global stream moves."""
    told, auto = dict(config["transformers"]), cast(Any, AutoModelForSequenceClassification)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        if config["code"]:
            require_trust(config["code"])
            n_outputs = len(told["id2label"])
            own = AutoConfig.from_pretrained(config["code"], num_labels=n_outputs, trust_remote_code=True)
            return auto.from_config(own, trust_remote_code=True).float()
        known = CONFIG_MAPPING[told["model_type"]].from_dict(told)
        return auto.from_config(known, trust_remote_code=False).float()


def _has_own_code(model: nn.Module) -> bool:
    return not type(model).__module__.startswith("transformers.")
