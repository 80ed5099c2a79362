"""What methods read beside teacher and student: found and checked; and forecasts of models that write text."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from autokd.contracts import ASSET_KINDS, TextModel
from autokd.core.errors import SpecError, UsageError, unknown
from autokd.models.assets import Asset, find_corpus, find_model
from autokd.models.foreign_shape import shape_like
from autokd.models.hub import read_config
from autokd.models.remote import is_trusted
from autokd.models.supernet_folder import find_supernet

_MASKED_LM_ENDINGS = ("ForMaskedLM", "ForPreTraining")


def find_asset(name: str, kind: str) -> Asset:
    """What has this name, which must be of this kind.

    Raises UsageError (or DataError) as ``find_model`` does, and for a model of another kind or one that needs a
    package which is not installed.
    """
    if kind == "corpus":
        return find_corpus(name)
    if kind == "supernet":
        return find_supernet(name)
    asset = find_model(name)
    require_kind(asset.folder, kind, name)
    return asset


def require_kind(folder: Path, kind: str, name: str = "") -> None:
    """Raises UsageError where a folder's model is not of this kind by its configuration. ``name`` is for messages."""
    if kind not in ASSET_KINDS:
        raise SpecError(unknown("kind of pretrained model", kind, ASSET_KINDS))
    config, name = read_config(folder), name or str(folder)
    if kind == "masked_lm":
        made_as = [str(each) for each in config.get("architectures") or ()]
        if not any(each.endswith(_MASKED_LM_ENDINGS) for each in made_as):
            told = ", ".join(made_as) or "of no architecture that it names"
            raise UsageError(f"a masked language model's checkpoint has its output layer, but {name!r} is {told}.")
        return
    if config.get("model_type") != "marian":
        raise UsageError(f"a translator is a model of type 'marian', but {name!r} is {config.get('model_type')!r}.")
    if importlib.util.find_spec("sentencepiece") is None:
        raise UsageError(
            f"the translator {name!r} needs the package sentencepiece, which is not installed: "
            "pip install 'autokd[translation]'."
        )


def text_model(folder: str | Path, kind: str) -> TextModel:
    """What a forecast knows of a folder's model. Products of attention scores, few for sentences, are left out."""
    return _text_model(str(folder), kind)


@lru_cache(maxsize=64)
def _text_model(folder: str, kind: str) -> TextModel:
    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=is_trusted())
    width, vocabulary = int(config.hidden_size), int(config.vocab_size)
    if kind == "masked_lm":
        layers = shape_like(config, 0).layers
        read = sum(4 * width * each.heads * each.head_width + 2 * width * each.ffn for each in layers)
        return TextModel(float(read), float(width * (width + vocabulary)))
    attention = 4 * width * width
    read = config.encoder_layers * (attention + 2 * width * config.encoder_ffn_dim)
    decode = config.decoder_layers * (2 * attention + 2 * width * config.decoder_ffn_dim)
    return TextModel(float(read), float(decode + width * vocabulary))
