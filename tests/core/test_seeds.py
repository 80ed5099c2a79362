"""Random streams depend on what they are named by, and on nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from autokd.core.seeds import Seeds


def test_a_stream_repeats_and_ignores_what_others_draw() -> None:
    seeds = Seeds(1, "basics:Distil")
    first = seeds.numpy("data").permutation(100)
    seeds.numpy("dropout").random(1000)
    assert (seeds.numpy("data").permutation(100) == first).all()


@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["data", "dropout"]))
def test_study_replicate_and_purpose_make_different_streams(study: int, replicate: int, purpose: str) -> None:
    base = Seeds(study, "a:B", replicate).integer(purpose)
    assert base != Seeds(study + 1, "a:B", replicate).integer(purpose)
    assert base != Seeds(study, "a:B", replicate + 1).integer(purpose)
    assert base != Seeds(study, "a:C", replicate).integer(purpose)
    assert base != Seeds(study, "a:B", replicate).integer(purpose + "x")
    assert 0 <= base < 2**63


def test_at_keeps_the_replicate_unless_told() -> None:
    seeds = Seeds(5, replicate=2)
    assert seeds.at("x:Y") == Seeds(5, "x:Y", 2)
    assert seeds.at("x:Y", 0) == Seeds(5, "x:Y", 0)
