"""How each encoder family of the Hugging Face hub names its configuration and weights, as one table.

Reading and writing checkpoints both go by this table. Names on the left are this project's (see ``Encoder``), on the
right the family's own, within its ``prefix`` or, where they start with a slash, beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from autokd.core.errors import SpecError, unknown


@dataclass(frozen=True)
class Family:
    """One family. ``config`` maps fields of ``EncoderShape`` (and ``heads, ffn, depth``) to the family's keys.

    ``first_position`` is the row of the position table that the first token reads, counted from the padding id
    (RoBERTa: padding id + 1); None: row 0. ``norm_eps`` is the LayerNorm's epsilon where no key holds it.
    """

    model_type: str
    architecture: str
    tokenizer: str
    prefix: str
    config: Mapping[str, str]
    names: Mapping[str, str]
    layer: str
    layer_names: Mapping[str, str]
    first_position: int | None = None
    norm_eps: float = 1e-12
    token_types: bool = True
    free_embedding: bool = False  # whether embeddings may be of another width than hidden states

    def theirs(self, depth: int, projected: bool = False) -> dict[str, str]:
        """Module names of a whole network of ``depth`` layers: ours -> the family's, with its prefix."""
        found = {ours: self._full(name) for ours, name in self.names.items()}
        if not projected:
            found.pop("embeddings.projection", None)
        for i in range(depth):
            base = self._full(self.layer.format(i=i))
            found.update({f"layers.{i}.{ours}": f"{base}.{name}" for ours, name in self.layer_names.items()})
        return found

    def _full(self, name: str) -> str:
        return name[1:] if name.startswith("/") else self.prefix + name


_BERT_CONFIG = MappingProxyType(
    {
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "hidden": "hidden_size",
        "token_types": "type_vocab_size",
        "activation": "hidden_act",
        "norm_eps": "layer_norm_eps",
        "pad_id": "pad_token_id",
        "dropout": "hidden_dropout_prob",
        "heads": "num_attention_heads",
        "ffn": "intermediate_size",
        "depth": "num_hidden_layers",
    }
)
_EMBEDDINGS = MappingProxyType(
    {
        "embeddings.word": "embeddings.word_embeddings",
        "embeddings.position": "embeddings.position_embeddings",
        "embeddings.token_type": "embeddings.token_type_embeddings",
        "embeddings.norm": "embeddings.LayerNorm",
    }
)
_BERT_LAYER = MappingProxyType(
    {
        "attention.query": "attention.self.query",
        "attention.key": "attention.self.key",
        "attention.value": "attention.self.value",
        "attention.output": "attention.output.dense",
        "attention.norm": "attention.output.LayerNorm",
        "ffn.up": "intermediate.dense",
        "ffn.down": "output.dense",
        "ffn.norm": "output.LayerNorm",
    }
)
_DENSE_HEAD = MappingProxyType({"pooler": "/classifier.dense", "classifier": "/classifier.out_proj"})

_BERT = Family(
    model_type="bert",
    architecture="BertForSequenceClassification",
    tokenizer="BertTokenizer",
    prefix="bert.",
    config=_BERT_CONFIG,
    names=MappingProxyType({**_EMBEDDINGS, "pooler": "pooler.dense", "classifier": "/classifier"}),
    layer="encoder.layer.{i}",
    layer_names=_BERT_LAYER,
)
_ROBERTA = Family(
    model_type="roberta",
    architecture="RobertaForSequenceClassification",
    tokenizer="RobertaTokenizer",
    prefix="roberta.",
    config=_BERT_CONFIG,
    names=MappingProxyType({**_EMBEDDINGS, **_DENSE_HEAD}),
    layer="encoder.layer.{i}",
    layer_names=_BERT_LAYER,
    first_position=1,
)
_ELECTRA = Family(
    model_type="electra",
    architecture="ElectraForSequenceClassification",
    tokenizer="ElectraTokenizer",
    prefix="electra.",
    config=MappingProxyType({**_BERT_CONFIG, "embedding": "embedding_size"}),
    names=MappingProxyType({**_EMBEDDINGS, "embeddings.projection": "embeddings_project", **_DENSE_HEAD}),
    layer="encoder.layer.{i}",
    layer_names=_BERT_LAYER,
    free_embedding=True,
)
_DISTILBERT = Family(
    model_type="distilbert",
    architecture="DistilBertForSequenceClassification",
    tokenizer="DistilBertTokenizer",
    prefix="distilbert.",
    config=MappingProxyType(
        {
            "vocabulary": "vocab_size",
            "positions": "max_position_embeddings",
            "hidden": "dim",
            "activation": "activation",
            "pad_id": "pad_token_id",
            "dropout": "dropout",
            "heads": "n_heads",
            "ffn": "hidden_dim",
            "depth": "n_layers",
        }
    ),
    names=MappingProxyType(
        {
            **{ours: name for ours, name in _EMBEDDINGS.items() if ours != "embeddings.token_type"},
            "pooler": "/pre_classifier",
            "classifier": "/classifier",
        }
    ),
    layer="transformer.layer.{i}",
    layer_names=MappingProxyType(
        {
            "attention.query": "attention.q_lin",
            "attention.key": "attention.k_lin",
            "attention.value": "attention.v_lin",
            "attention.output": "attention.out_lin",
            "attention.norm": "sa_layer_norm",
            "ffn.up": "ffn.lin1",
            "ffn.down": "ffn.lin2",
            "ffn.norm": "output_layer_norm",
        }
    ),
    token_types=False,
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.model_type: family for family in (_BERT, _ROBERTA, _DISTILBERT, _ELECTRA)}
)


def find_family(model_type: str) -> Family:
    """The family of a configuration's ``model_type``. Raises SpecError for one that is not in the table."""
    if model_type not in FAMILIES:
        raise SpecError(unknown("model type", model_type, FAMILIES))
    return FAMILIES[model_type]
