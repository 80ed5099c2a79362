"""Sub-spaces: the published tables, exactly, and in proportion for smaller teachers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autokd.core.errors import SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.models.encoder import Encoder
from autokd.models.slicing import sliced
from autokd.models.subspaces import PUBLISHED, Architecture, Subspace, subspace

BERT = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=1)
MINILM = EncoderShape(30522, 512, 384, (LayerShape(12, 32, 1536),) * 6, labels=1)
# Parameters without the classifier, smallest and largest, of the tensors that are left and by the released formula.
ENDS = {
    "base": ((41_835_824, 83_293_568), (39_211_248, 79_357_440)),
    "small": ((15_121_088, 33_823_136), (12_609_408, 28_203_648)),
    "tiny": ((5_178_496, 13_503_952), (4_437_504, 10_710_672)),
}


def params(architecture: Architecture, whole: EncoderShape = BERT) -> int:
    """Without the classifier, which the paper does not count."""
    return architecture.shape(whole).params() - (architecture.hidden + 1)


def released(each: Architecture) -> int:
    """The released code's own count (cal_para_bert), which takes heads for H / 12 wide where they are 64."""
    h, a, f = each.hidden, each.heads, each.ffn
    attention = h * h + 3 * h * h * a / 12 + 6 * h
    return round(h * (30522 + 516) + each.layers * (attention + 2 * f * h + f + 3 * h) + h * h + 2 * h)


@pytest.mark.parametrize("name", ENDS)
def test_the_published_spaces_have_256_points_and_the_published_ends(name: str) -> None:
    found = subspace(name, BERT)
    assert found == PUBLISHED[name]
    architectures = found.architectures()
    assert len(set(architectures)) == 256
    assert architectures[0] == found.smallest == min(architectures, key=params)
    assert architectures[-1] == found.largest == max(architectures, key=params)
    assert (params(found.smallest), params(found.largest)) == ENDS[name][0]
    by_formula = sorted(map(released, architectures))
    assert (by_formula[0], by_formula[-1]) == ENDS[name][1]


def test_the_architectures_that_were_published_lie_in_their_spaces() -> None:
    """With the sizes of the tensors that are left and their multiply-accumulates at 128 tokens, embeddings apart."""
    told = {
        ("base", Architecture(12, 9, 544, 1632)): (53.61, 4.88),
        ("small", Architecture(11, 8, 352, 1408)): (29.94, 2.60),
        ("small", Architecture(11, 7, 256, 768)): (17.42, 1.36),
        ("tiny", Architecture(7, 10, 160, 560)): (9.14, 0.67),
    }
    for (name, architecture), (millions, billions) in told.items():
        assert architecture in subspace(name, BERT).architectures()
        assert params(architecture) / 1e6 == pytest.approx(millions, abs=0.005)
        assert architecture.shape(BERT).macs(128) / 1e9 == pytest.approx(billions, abs=0.006)


@pytest.mark.parametrize(
    ("layers", "kept"),
    [
        (4, (0, 3, 6, 9)),
        (5, (0, 2, 4, 7, 9)),
        (6, (0, 2, 4, 6, 8, 10)),
        (7, (0, 1, 3, 5, 6, 8, 10)),
        (9, (0, 1, 2, 4, 5, 6, 8, 9, 10)),
        (10, (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)),
        (11, tuple(range(11))),
        (12, tuple(range(12))),
    ],
)
def test_kept_layers(layers: int, kept: tuple[int, ...]) -> None:
    assert Architecture(layers, 1, 64, 64).depths(12) == kept


def test_every_sub_network_has_as_many_parameters_as_its_tensors() -> None:
    with torch.device("meta"):
        whole = dict(Encoder(BERT).named_parameters())
    for name in ENDS:
        for architecture in subspace(name, BERT).architectures():
            found = sliced(whole, BERT, architecture.kept(BERT))
            assert sum(value.numel() for value in found.values()) == architecture.shape(BERT).params()


def test_a_smaller_teacher_has_them_in_proportion() -> None:
    """Half of the layers and of the hidden width; as many heads, each half as wide."""
    assert subspace("base", MINILM) == Subspace(
        (4, 5, 6), (9, 10, 11, 12), (272, 288, 304, 320), PUBLISHED["base"].ratios
    )
    assert subspace("small", MINILM).hidden == (128, 144, 160, 176)
    assert subspace("tiny", MINILM) == Subspace((2, 3, 4), (7, 8, 9, 10), (64, 80, 96, 112), PUBLISHED["tiny"].ratios)
    for name in ENDS:
        found = subspace(name, MINILM)
        assert len(set(found.architectures())) == 192
        assert found.largest.shape(MINILM).params() < MINILM.params()
        for architecture in found.architectures():
            architecture.kept(MINILM)


def test_a_larger_teacher_has_the_published_ones() -> None:
    large = EncoderShape(30522, 512, 1024, (LayerShape(16, 64, 4096),) * 24, labels=1)
    assert subspace("base", large) == PUBLISHED["base"]
    assert subspace("base", large).largest.depths(24) == tuple(range(0, 24, 2))


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", PUBLISHED)
def test_spaces_of_very_small_teachers_lie_in_them(name: str, depth: int) -> None:
    teacher = EncoderShape(100, 64, 16, (LayerShape(3, 8, 20),) * depth, labels=2)
    found = subspace(name, teacher)
    assert all(1 <= n <= depth for n in found.layers)
    for architecture in found.architectures():
        architecture.kept(teacher)
        assert architecture.ffn >= 1


@pytest.mark.parametrize(("name", "count", "ends"), [("wide", 550, (120, 768)), ("wide_and_deep", 840, (120, 768))])
def test_the_spaces_of_mixture_of_supernets(name: str, count: int, ends: tuple[int, int]) -> None:
    found = subspace(name, BERT)
    assert len(set(found.architectures())) == count
    assert (found.hidden[0], found.hidden[-1]) == ends
    assert found.largest.shape(BERT) == BERT
    assert len(subspace(name, MINILM).architectures()) == count
    assert subspace(name, MINILM).largest.shape(MINILM) == MINILM


@pytest.mark.parametrize("name", PUBLISHED)
def test_hidden_states_are_never_as_wide_as_embeddings_that_are_projected_to_them(name: str) -> None:
    teacher = EncoderShape(100, 64, 256, (LayerShape(4, 64, 1024),) * 12, labels=2, family="electra", embedding=128)
    found = subspace(name, teacher)
    assert 128 not in found.hidden
    with torch.device("meta"):
        whole = dict(Encoder(teacher).named_parameters())
    for architecture in found.architectures():
        left = sliced(whole, teacher, architecture.kept(teacher))
        assert sum(value.numel() for value in left.values()) == architecture.shape(teacher).params()


def test_a_space_of_no_other_width_is_refused() -> None:
    teacher = EncoderShape(100, 64, 1, (LayerShape(1, 8, 20),), labels=2, family="electra", embedding=1)
    wide = replace(teacher, hidden=2)
    with pytest.raises(SpecError, match="projected embeddings are of another width than hidden states, but 'tiny'"):
        subspace("tiny", wide)


def test_places_choose_from_the_least_to_the_most() -> None:
    found = PUBLISHED["base"]
    assert found.at(0, 0, 0, 0) == found.smallest
    assert found.at(1, 1, 1, 1) == found.largest
    assert found.at(0.34, 0.66, 0.5, 0.16) == Architecture(10, 11, 608, 1520)


def test_unknown_spaces_are_told() -> None:
    with pytest.raises(SpecError, match=r"unknown sub-space 'smal'. Did you mean 'small'"):
        subspace("smal", BERT)
