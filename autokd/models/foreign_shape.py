"""What can be known of a foreign model without loading it: whether it can be a teacher, and about what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.hub import read_config
from autokd.models.positions import readable_positions
from autokd.models.remote import is_trusted, require_trust

_FFN_KEYS = ("intermediate_size", "encoder_ffn_dim", "d_ff", "ffn_dim", "d_inner", "n_inner")


def foreign_config(folder: Path, name: str = "") -> dict[str, Any]:
    """The configuration of a checkpoint that transformers has a text classifier for; ``name`` is for messages.

    Raises SpecError where it has none, UsageError where the model brings code of its own that may not run.
    """
    config, name = read_config(folder), name or str(folder)
    kind, own = str(config.get("model_type")), config.get("auto_map") or {}
    if kind in CONFIG_MAPPING:
        if CONFIG_MAPPING[kind] in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            return config
        if "AutoModelForSequenceClassification" not in own:
            raise SpecError(
                f"a teacher is a text classifier or an encoder, but transformers has no text classifier for the type "
                f"{kind!r} of {name!r}."
            )
    elif "AutoConfig" not in own or "AutoModelForSequenceClassification" not in own:
        raise SpecError(
            f"a model's config.json names a type that transformers knows, or code that classifies texts, but that of "
            f"{name!r} names the type {kind!r}."
        )
    require_trust(name)
    return config


def foreign_shape(folder: Path, n_outputs: int) -> EncoderShape:
    """The shape of an encoder that costs about as much as the model in this folder."""
    foreign_config(folder)
    return shape_like(
        AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=is_trusted()), n_outputs
    )


def shape_like(config: Any, n_outputs: int) -> EncoderShape:
    """The shape of an encoder that costs about as much as a model of this configuration of transformers.

    Heads that share keys, gates in feed-forward networks and products of relative positions are not looked at: a
    forecast from it is corrected by the probe, which times the model itself. Raises SpecError where the configuration
    says neither depth nor width.
    """
    text = config.get_text_config()
    hidden, depth = getattr(text, "hidden_size", None), getattr(text, "num_hidden_layers", None)
    if not isinstance(hidden, int) or not isinstance(depth, int):
        raise SpecError(
            f"a teacher's configuration has hidden_size and num_hidden_layers, but {text.model_type!r} has not."
        )
    heads = getattr(text, "num_attention_heads", None)
    heads = heads if isinstance(heads, int) and heads > 0 else max(1, hidden // 64)
    widths = [getattr(text, key, None) for key in _FFN_KEYS]
    ffn = next((width for width in widths if isinstance(width, int)), 4 * hidden)
    if getattr(text, "is_encoder_decoder", False):
        depth += getattr(text, "decoder_layers", None) or getattr(text, "num_decoder_layers", None) or depth
    embedding = getattr(text, "embedding_size", None) or 0
    return EncoderShape(
        vocabulary=int(getattr(text, "vocab_size", 0) or 0),
        positions=readable_positions(
            text.model_type,
            int(getattr(text, "max_position_embeddings", 0) or 0),
            getattr(text, "pad_token_id", None),
        ),
        hidden=hidden,
        layers=(LayerShape(heads, hidden // heads, ffn),) * depth,
        labels=n_outputs,
        embedding=embedding if embedding != hidden else 0,
    )
