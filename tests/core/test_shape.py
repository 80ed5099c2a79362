"""Closed forms of size and cost."""

from autokd.core.shape import EncoderShape, LayerShape

BERT_BASE = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)


def test_macs_of_bert_base_follow_from_its_shape() -> None:
    # 12 layers of 4 d^2 + 8 d^2 products a token, attention 2 n^2 d, pooler and classifier once
    n, d = 128, 768
    assert BERT_BASE.macs(n) == 12 * (12 * d * d * n + 2 * n * n * d) + d * d + 2 * d


def test_a_shape_survives_json() -> None:
    assert EncoderShape.from_json(BERT_BASE.to_json()) == BERT_BASE


def test_one_token_passes_one_expert() -> None:
    experts = BERT_BASE.with_layers((LayerShape(12, 64, 768, ffn_copies=4),) * 12)
    dense = BERT_BASE.with_layers((LayerShape(12, 64, 768),) * 12)
    assert experts.macs(64) == dense.macs(64)
    assert experts.active_params() == dense.params() == dense.active_params()
    assert experts.params() > dense.params()
