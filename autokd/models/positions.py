"""How many tokens a model of transformers can read: in some types fewer than its table of positions has rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Types that count positions from their padding id on: the rows up to it belong to no token. Each with the padding id of
# a configuration that names none, as transformers has it.
_PADDING_IDS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "longformer", "luke"), 1),
        **dict.fromkeys(("mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"), 1),
        **dict.fromkeys(("lilt", "markuplm"), 0),
    }
)
_ITS_OWN_PADDING = ("mpnet",)  # whatever the configuration says


def readable_positions(model_type: str, positions: int, pad_id: int | None) -> int:
    """The most tokens that a model reads whose ``max_position_embeddings`` and ``pad_token_id`` are these."""
    if model_type not in _PADDING_IDS:
        return positions
    usual = _PADDING_IDS[model_type]
    first = usual if pad_id is None or model_type in _ITS_OWN_PADDING else pad_id
    return max(0, positions - first - 1)
