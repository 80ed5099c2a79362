"""AutoDistil: the sandwich, what a supernet learns, the search without gradients and students taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autokd.contracts import Models, Outputs, Sizes, Timer, Wants
from autokd.core.errors import Paused, SpecError
from autokd.core.shape import EncoderShape, LayerShape
from autokd.engine.batches import scoring_batches
from autokd.engine.teacher import LiveTeacher
from autokd.methods.autodistil import ExtractSubnet, LoadSupernet, SearchSubnet, TrainSupernet
from autokd.methods.autodistil.search import search
from autokd.methods.basics import AdamW, Distil, FineTuneTeacher, Relations
from autokd.methods.basics.held_out import HeldOut
from autokd.methods.basics.relations import RelationTerm
from autokd.methods.basics.sandwich import Sandwich, sandwich
from autokd.methods.basics.supernets import SLOT, TEACHER_SLOT
from autokd.methods.stark import SparsifyTeacher
from autokd.models.elastic import shape_of
from autokd.models.slots import build
from autokd.models.subspaces import PUBLISHED, Architecture, Subspace, SupernetSizes, subspace
from autokd.models.supernet import Member, extract, supernet_from, supernet_of
from autokd.pipeline import Pipeline, task_facts
from autokd.recommend.grid import propose_point
from autokd.testing.context import tiny_context
from autokd.testing.methods import TEACHER, contents, run_stages
from autokd.testing.tiny import tiny_task

BERT = EncoderShape(30522, 512, 768, (LayerShape(12, 64, 3072),) * 12, labels=2)
MINILM = EncoderShape(30522, 512, 384, (LayerShape(12, 32, 1536),) * 6, labels=2)
TRAIN = TrainSupernet(space="base", epochs=15, batch_size=8, optimizer=AdamW(lr=3e-3), dropout=0.0)
RELATIONS = Relations(heads=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER, TRAIN), tiny_task(), tmp_path_factory.mktemp("supernet"))


def losses(models: Models, supernet: nn.Module, root: Path) -> dict[Architecture, float]:
    """Held-out losses of all sub-networks, computed here."""
    ctx = tiny_context(root, tiny_task(), "autodistil:SearchSubnet")
    teacher = models[TEACHER_SLOT]
    term, live = Relations().build(Models({"teacher": teacher}), ctx), LiveTeacher(teacher, ctx, Wants(attention=True))
    held_out = HeldOut(ctx.rows("valid", teacher), 24, term, live, ctx)
    return {a: float(held_out.losses(supernet.member(a)).mean()) for a in supernet.subspace.architectures()}


# The sandwich.


def test_a_step_trains_the_largest_the_smallest_and_two_others() -> None:
    found, space = set(), PUBLISHED["small"]
    for seed in range(300):
        chosen = sandwich(space, 2, np.random.default_rng(seed))
        assert len(set(chosen)) == len(chosen) == 4
        assert chosen[:2] == (space.largest, space.smallest)
        found |= set(chosen[2:])
    assert len(found) > 200  # of 254
    assert found.isdisjoint({space.largest, space.smallest})


def test_small_spaces_have_no_more_to_draw() -> None:
    alone, two = Subspace((2,), (2,), (8,), (1.0,)), Subspace((1, 2), (2,), (8,), (1.0,))
    assert sandwich(alone, 2, np.random.default_rng(0)) == (Architecture(2, 2, 8, 8),)
    assert len(sandwich(two, 2, np.random.default_rng(0))) == 2


def test_the_number_of_a_step_decides_what_it_trains(made: Models, tmp_path: Path) -> None:
    seeds = tiny_context(tmp_path, tiny_task(), "autodistil:TrainSupernet").seeds
    one, other = (Sandwich(supernet_of(made[SLOT]), 2, seeds) for _ in range(2))
    first = [member.architecture for member in one.members(0)]
    drawn = {tuple(member.architecture for member in one.members(step)) for step in range(10)}
    assert len(drawn) > 5
    assert [member.architecture for member in other.members(0)] == first  # whatever was drawn before
    elsewhere = Sandwich(supernet_of(made[SLOT]), 2, replace(seeds, study=7))
    assert {tuple(m.architecture for m in elsewhere.members(step)) for step in range(10)} != drawn


# Training.


def test_every_sub_network_learns_to_keep_the_teachers_relations(made: Models, tmp_path: Path) -> None:
    teacher = made[TEACHER_SLOT]
    start = supernet_of(supernet_from(teacher, shape_of(teacher), subspace("base", shape_of(teacher))))
    before, after = losses(made, start, tmp_path), losses(made, supernet_of(made[SLOT]), tmp_path)
    assert len(after) == 64
    assert all(after[each] < before[each] for each in after)
    assert np.mean(list(after.values())) < 0.5 * np.mean(list(before.values()))


def test_the_teacher_is_the_fine_tuned_one_and_has_no_gradients(made: Models, tmp_path: Path) -> None:
    assert made[TEACHER_SLOT].content == made["dense_teacher"].content == made[SLOT].config["learnt_from"]
    ctx = tiny_context(tmp_path, tiny_task(), "autodistil:TrainSupernet")
    live, supernet = LiveTeacher(made["teacher"], ctx, Wants(attention=True)), supernet_of(made[SLOT])
    [batch, *_] = scoring_batches(ctx.rows("valid", made["teacher"]), 8)
    seen = supernet(batch, Wants(attention=True))
    RELATIONS.build(made, ctx)(seen, live.for_batch(batch), batch, lambda value, rate: value).backward()
    assert all(parameter.grad is None for parameter in live.network().parameters())
    assert supernet.encoder.layers[-1].attention.query.weight.grad is not None
    # What lies behind the last queries, keys and values is not taught.
    assert supernet.encoder.layers[-1].ffn.up.weight.grad is None
    assert supernet.encoder.pooler.weight.grad is None


@pytest.mark.parametrize("form", ["mse_logits", "mse_softmax", "kl_softmax"])
def test_tokens_of_padding_play_no_part(made: Models, form: str, tmp_path: Path) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), "autodistil:TrainSupernet")
    term, supernet = RelationTerm(Relations(form=form, heads=4)), supernet_of(made[SLOT])
    live = LiveTeacher(made["teacher"], ctx, Wants(attention=True))
    [*_, batch] = scoring_batches(ctx.rows("valid", made["teacher"]), 12)
    assert int(batch.mask.sum()) < batch.mask.numel()

    def loss(ids: Tensor) -> float:
        own = replace(batch, ids=ids)
        seen = supernet.member(supernet.subspace.smallest)(own, Wants(attention=True))
        return float(term(seen, live.for_batch(own), own, lambda value, rate: value).detach())

    assert loss(batch.ids * batch.mask) == loss(batch.ids * batch.mask + 7 * (1 - batch.mask)) > 0


def test_seeds_of_a_study_share_a_supernet(made: Models, tmp_path: Path) -> None:
    task, stage = tiny_task(), replace(TRAIN, epochs=1)
    start = run_stages((TEACHER,), task, tmp_path)
    one, two = (
        stage.run(start, tiny_context(tmp_path, task, "autodistil:TrainSupernet", folder=f"f{i}", replicate=i))
        for i in range(2)
    )
    assert contents(one) == contents(two)


def test_texts_without_labels_are_learnt_from_too(made: Models, tmp_path: Path) -> None:
    task = tiny_task()
    further = replace(task, unlabelled=replace(tiny_task(seed=5).train, labels=(-100,) * 48))
    reports: list[tuple[int, float]] = []
    ctx = tiny_context(tmp_path, further, "autodistil:TrainSupernet", reports=reports)
    replace(TRAIN, epochs=1).run(run_stages((TEACHER,), task, tmp_path), ctx)
    assert [step for step, _ in reports] == [2 * 48 / 8]
    sizes = Sizes(1000, 20.0, BERT)
    assert TRAIN.cost(replace(sizes, unlabelled=1000))[0].macs == pytest.approx(2 * TRAIN.cost(sizes)[0].macs)


def test_what_it_costs() -> None:
    """Of a batch's rows the teacher makes a pass, and four sub-networks a pass forward and back each."""
    small, stage = subspace("small", BERT), TrainSupernet(space="small", epochs=1)
    macs = [each.shape(BERT).macs(64) for each in small.architectures()]
    at_least = BERT.macs(64) + 3 * (macs[0] + macs[-1] + 2 * np.mean(macs))
    cost, after = stage.cost(Sizes(1, 64.0, BERT))
    assert at_least < cost.macs < 1.1 * at_least
    assert after.added[SLOT] == SupernetSizes(small, BERT)


# The search.


def run_search(stage: SearchSubnet, models: Models, root: Path, **changes: Any) -> Models:
    ctx = tiny_context(root, tiny_task(), "autodistil:SearchSubnet", folder="search")
    return stage.run(models, replace(ctx, **changes))


def chosen(models: Models) -> Architecture:
    shape = shape_of(models["student"])
    return Architecture(shape.depth, shape.layers[0].heads, shape.hidden, shape.layers[0].ffn)


@pytest.mark.parametrize(("macs", "params"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.7), (0.5, 0.9)])
def test_the_best_within_the_limits_is_taken(made: Models, macs: float, params: float, tmp_path: Path) -> None:
    ctx, teacher = tiny_context(tmp_path, tiny_task(), "x"), shape_of(made["teacher"])
    length = float(ctx.rows("train", made["teacher"]).extents.mean())
    found = losses(made, supernet_of(made[SLOT]), tmp_path)
    shapes = {each: each.shape(teacher) for each in found}
    allowed = {
        each: loss
        for each, loss in found.items()
        if shapes[each].macs(length) <= macs * teacher.macs(length)
        and shapes[each].params() <= params * teacher.params()
    }
    assert 0 < len(allowed) <= len(found)
    after = run_search(SearchSubnet(macs=macs, params=params, share=1.0), made, tmp_path)
    assert chosen(after) == min(allowed, key=lambda each: allowed[each])
    assert after["student"].content == extract(made[SLOT], chosen(after)).content == after["student_init"].content


def test_a_search_needs_no_gradients(made: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, call = [], Member.__call__

    def watched(self: Member, *args: Any, **kwargs: Any) -> Outputs:
        found = call(self, *args, **kwargs)
        seen.append(torch.is_grad_enabled() or found.attention[-1][0].requires_grad)
        return found

    monkeypatch.setattr(Member, "__call__", watched)
    run_search(SearchSubnet(macs=1.0), made, tmp_path)
    assert len(seen) == len(supernet_of(made[SLOT]).subspace.architectures())
    assert not any(seen)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls, losses_of = list[int](), HeldOut.losses

    def one_more(self: HeldOut, network: Callable[..., Outputs]) -> Tensor:
        calls.append(1)
        return losses_of(self, network)

    monkeypatch.setattr(HeldOut, "losses", one_more)
    return calls


def test_losses_are_computed_once_for_all_limits(made: Models, tmp_path: Path, monkeypatch) -> None:
    calls = counted(monkeypatch)
    run_search(SearchSubnet(macs=0.6), made, tmp_path)
    some = len(calls)
    wide = run_search(SearchSubnet(macs=1.0), made, tmp_path)
    everything = len(supernet_of(made[SLOT]).subspace.architectures())
    assert 0 < some < len(calls) == everything
    assert chosen(run_search(SearchSubnet(macs=1.0), made, tmp_path)) == chosen(wide)
    assert len(calls) == everything
    cold = run_search(SearchSubnet(macs=1.0), made, tmp_path, cache=tmp_path / "cold")
    assert contents(cold) == contents(wide)


def test_a_search_that_is_stopped_again_and_again_loses_nothing(made: Models, tmp_path: Path, monkeypatch) -> None:
    calls, stage, pauses = counted(monkeypatch), SearchSubnet(macs=1.0), 0
    asked = iter(range(10**6))
    while True:
        try:
            made_in_parts = run_search(stage, made, tmp_path, should_pause=lambda: next(asked) % 15 == 14)
            break
        except Paused:
            pauses += 1
    assert pauses >= 3
    assert len(calls) == len(supernet_of(made[SLOT]).subspace.architectures())
    whole = run_search(stage, made, tmp_path, cache=tmp_path / "cold")
    assert contents(made_in_parts) == contents(whole)


def test_where_there_are_too_many_a_proposer_chooses(made: Models, tmp_path: Path, monkeypatch) -> None:
    calls, stage = counted(monkeypatch), SearchSubnet(macs=0.8, most=30)
    one = run_search(stage, made, tmp_path)
    assert len(calls) == 30
    assert contents(run_search(stage, made, tmp_path, cache=tmp_path / "cold")) == contents(one)
    again = replace(tiny_context(tmp_path, tiny_task(), "autodistil:SearchSubnet").seeds, replicate=2)
    assert contents(run_search(stage, made, tmp_path, cache=tmp_path / "other", seeds=again)) == contents(one)
    with pytest.raises(SpecError, match="no proposer was handed in to choose 30 of"):
        run_search(stage, made, tmp_path, propose=None)


def test_proposals_find_good_sub_networks_among_many() -> None:
    """Larger spaces than are ever scored whole: 550 points, a loss with one valley, a limit across it."""
    space = PUBLISHED["wide"]
    allowed = [each for each in space.architectures() if each.hidden <= 500]
    assert len(space.architectures()) == 550

    def loss(each: Architecture) -> float:
        return abs(each.hidden - 420) / 700 + (each.heads == 6) * 0.2 + abs(each.ffn / each.hidden - 3) * 0.1

    found = search(space, allowed, loss, 40, propose_point, seed=3)
    assert len(found) == 40
    assert found.keys() <= set(allowed)
    ranks = sorted(map(loss, allowed))
    assert min(found.values()) <= ranks[len(ranks) // 20]
    few = search(space, allowed[:5], loss, 60, None, seed=3)
    assert few == {each: loss(each) for each in allowed[:5]}


def test_limits_that_leave_nothing_are_refused(made: Models, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"must leave a sub-network, but the smallest has 0\.\d+ and 0\.\d+"):
        run_search(SearchSubnet(macs=0.01), made, tmp_path)
    _, sizes = TrainSupernet(space="base").cost(Sizes(100, 64.0, BERT))
    with pytest.raises(SpecError, match=r"the smallest has 0\.293 and"):
        SearchSubnet(macs=0.2).cost(sizes)


def timed(share: Callable[[EncoderShape], float], seen: list[EncoderShape]) -> Timer:
    """A timer that says these shares, and notes whom it was asked about."""

    def timer(teacher: EncoderShape, shapes: Sequence[EncoderShape], length: int) -> list[float]:
        assert length > 1
        assert teacher.macs(length) >= max(shape.macs(length) for shape in shapes)
        seen.extend(shapes)
        return [share(shape) for shape in shapes]

    return timer


def test_a_limit_on_latency_leaves_the_best_of_the_fast_ones(made: Models, tmp_path: Path, monkeypatch) -> None:
    """The fewer heads, the slower: what macs would never say."""
    calls, seen = counted(monkeypatch), list[EncoderShape]()
    timer = timed(lambda shape: 0.5 / shape.layers[0].heads, seen)
    found = losses(made, supernet_of(made[SLOT]), tmp_path)
    ctx, supernet = tiny_context(tmp_path, tiny_task(), "x"), supernet_of(made[SLOT])
    whole = SupernetSizes(supernet.subspace, supernet.shape)
    length = float(ctx.rows("train", made["teacher"]).extents.mean())
    most = max(each.heads for each in found)
    for latency, least in ((0.5 / most, most), (0.5, 0)):
        calls.clear()
        seen.clear()
        stage = SearchSubnet(macs=0.7, latency=latency, share=1.0)
        within = stage.within(whole, shape_of(made["teacher"]), length)
        allowed = [each for each in within if each.heads >= least]
        assert allowed
        after = run_search(stage, made, tmp_path, timer=timer, cache=tmp_path / f"cache-{least}")
        assert seen == [each.shape(whole.shape) for each in within]  # no other is timed
        assert len(calls) == len(allowed)  # nor is the loss of a slow one computed
        assert chosen(after) == min(allowed, key=lambda each: found[each])
    assert len(within) < len(found)
    assert len({each.heads for each in within}) > 1


def test_without_a_limit_on_latency_nothing_is_timed(made: Models, tmp_path: Path) -> None:
    seen = list[EncoderShape]()
    limited = run_search(SearchSubnet(macs=0.8, latency=1.0), made, tmp_path, timer=timed(lambda shape: 0.1, seen))
    assert seen
    seen.clear()
    free = run_search(SearchSubnet(macs=0.8), made, tmp_path, timer=timed(lambda shape: 0.1, seen))
    assert not seen
    assert contents(free) == contents(limited)


def test_latencies_that_leave_nothing_or_that_nobody_can_measure_are_refused(made: Models, tmp_path: Path) -> None:
    stage, shares = SearchSubnet(macs=0.8, latency=0.25), count(0.3, 0.1)
    with pytest.raises(SpecError, match=r"fastest within .macs and .params takes 0\.300 of the teacher's time.*0\.25"):
        run_search(stage, made, tmp_path, timer=timed(lambda shape: next(shares), []))
    with pytest.raises(SpecError, match=r"no timer was handed in to measure what SearchSubnet\.latency limits"):
        run_search(stage, made, tmp_path, timer=None)


def test_a_forecast_does_not_know_what_a_limit_on_latency_leaves() -> None:
    _, sizes = TrainSupernet(space="base").cost(Sizes(5000, 40.0, BERT))
    (free, most), (limited, bound) = (SearchSubnet(latency=each).cost(sizes) for each in (None, 0.4))
    assert (free.known, limited.known) == (True, False)
    assert (limited.macs, bound.student) == (free.macs, most.student)


@pytest.mark.parametrize("teacher", [BERT, MINILM], ids=["bert", "minilm"])
@pytest.mark.parametrize("name", ["base", "small", "tiny"])
def test_searching_a_whole_sub_space_costs_a_twentieth_of_training_it(name: str, teacher: EncoderShape) -> None:
    train = TrainSupernet(space=name)
    cost, sizes = train.cost(Sizes(5000, 40.0, teacher))
    searching, after = SearchSubnet(macs=1.0).cost(sizes)
    assert 0 < searching.macs < 0.05 * cost.macs
    assert after.is_bound
    assert after.student == subspace(name, teacher).largest.shape(teacher)
    capped, _ = SearchSubnet(macs=1.0).cost(replace(sizes, rows=10**6))
    assert capped.macs == pytest.approx(searching.macs * 256 / 100)


def test_a_searched_student_costs_at_most_what_its_limits_say() -> None:
    _, sizes = TrainSupernet(space="base").cost(Sizes(5000, 40.0, BERT))
    for macs in (0.3, 0.5, 0.7):
        _, after = SearchSubnet(macs=macs).cost(sizes)
        assert 0.9 * macs < after.student.macs(40) / BERT.macs(40) <= macs


# Students of a chosen shape.


def test_a_place_in_the_space_is_a_shape(made: Models, tmp_path: Path) -> None:
    ctx, space = tiny_context(tmp_path, tiny_task(), "x"), supernet_of(made[SLOT]).subspace
    for places in ((0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0), (0.5, 0.0, 1.0, 0.3)):
        after = ExtractSubnet(*places).run(made, ctx)
        assert chosen(after) == space.at(*places)
        assert after["student"].content == after["student_init"].content
        n_params = sum(p.numel() for p in build(after["student"]).parameters())
        assert n_params == shape_of(after["student"]).params()
        _, sizes = TRAIN.cost(Sizes(100, 12.0, shape_of(made["teacher"])))
        assert ExtractSubnet(*places).cost(sizes)[1].student == shape_of(after["student"])


def test_an_extracted_student_is_distilled_like_any_other(made: Models, tmp_path: Path) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), "basics:Distil")
    start = ExtractSubnet(layers=0.0).run(made, ctx)
    after = Distil(objectives=(RELATIONS,), epochs=3, batch_size=8, optimizer=AdamW(lr=1e-3)).run(start, ctx)
    assert after["student_init"].content == start["student"].content
    live = LiveTeacher(made["teacher"], ctx, Wants(attention=True))
    held_out = HeldOut(ctx.rows("valid", made["teacher"]), 24, RELATIONS.build(made, ctx), live, ctx)
    before, later = (held_out.losses(build(models["student"])).mean() for models in (start, after))
    assert later < 0.9 * before


# Declarations.


@pytest.mark.parametrize("taken", [SearchSubnet(), ExtractSubnet()])
def test_the_order_of_stages_is_checked(taken: SearchSubnet | ExtractSubnet) -> None:
    facts, tune = task_facts(tiny_task()), FineTuneTeacher()
    Pipeline((tune, TrainSupernet(), taken, Distil())).check(facts)
    Pipeline((tune, TrainSupernet(), taken, Distil(), SparsifyTeacher(), taken, Distil())).check(facts)
    with pytest.raises(SpecError, match="needs supernet, supernet_teacher"):
        Pipeline((tune, taken, Distil())).check(facts)
    with pytest.raises(SpecError, match="needs dense_teacher, encoder_teacher"):
        Pipeline((TrainSupernet(), taken, Distil())).check(facts)
    with pytest.raises(SpecError, match="needs supernet, supernet_teacher"):  # it was another teacher's
        Pipeline((tune, TrainSupernet(), tune, taken, Distil())).check(facts)
    assert Pipeline((tune, TrainSupernet(), taken, Distil())).n_shared == 2


def test_a_supernet_of_another_tokenizer_is_refused_beforehand() -> None:
    """As far as the tokenizers are known: of the last teacher before it, and of the supernet."""
    net = SupernetSizes(subspace("small", BERT), BERT, "one")
    start = Sizes(1000, 40.0, BERT, bases={"a": BERT, "b": BERT}, assets={"net": net}, tokenizers={"a": "one", "b": ""})
    tune, other = FineTuneTeacher(model="a"), FineTuneTeacher(model="b")
    load = LoadSupernet(supernet="net")

    def forecast(*stages: FineTuneTeacher, **tokenizers: str) -> Sizes:
        sizes = replace(start, tokenizers={**start.tokenizers, **tokenizers})
        return Pipeline((*stages, load, ExtractSubnet(), Distil())).forecast(sizes)[1]

    for after in (forecast(tune), forecast(other), forecast(other, tune, b="two"), forecast(tune, a="")):
        assert after.student == net.subspace.largest.shape(BERT)
    with pytest.raises(SpecError, match="split texts alike, but 'net' has another tokenizer"):
        forecast(tune, other, b="two")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TrainSupernet(space="huge"), "TrainSupernet.space must be one of base, small, tiny, wide"),
        (lambda: TrainSupernet(loss=AdamW()), "TrainSupernet.loss must be basics:Relations"),
        (lambda: TrainSupernet(n_random=-1), "n_random must be a whole number of at least 0"),
        (lambda: TrainSupernet(epochs=0), "epochs"),
        (lambda: SearchSubnet(macs=0), "SearchSubnet.macs must be a finite number above 0"),
        (lambda: SearchSubnet(params=1.5), "SearchSubnet.params must be a number from 0 to 1"),
        (lambda: SearchSubnet(latency=0), "SearchSubnet.latency must be a number above 0 and at most 1"),
        (lambda: SearchSubnet(latency=1.5), "SearchSubnet.latency must be a number above 0 and at most 1"),
        (lambda: SearchSubnet(most=0), "SearchSubnet.most must be a whole number of at least 1"),
        (lambda: ExtractSubnet(hidden=1.2), "ExtractSubnet.hidden must be a number from 0 to 1"),
        (lambda: Relations(form="mse"), "Relations.form must be one of mse_logits, mse_softmax, kl_softmax"),
        (lambda: Relations(layer=0), "Relations.layer must be a whole number of at least 1"),
    ],
)
def test_wrong_values_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make()


def test_a_layer_that_the_teacher_lacks_is_refused(made: Models, tmp_path: Path) -> None:
    ctx = tiny_context(tmp_path, tiny_task(), "x")
    term = Relations(layer=1, heads=4).build(made, ctx)
    live = LiveTeacher(made["teacher"], ctx, Wants(attention=True))
    [batch, *_] = scoring_batches(ctx.rows("valid", made["teacher"]), 8)
    first = Outputs(torch.zeros(8, 2), batch.mask, {}, live.for_batch(batch).attention[:1])
    assert float(term.per_text(first, term.states(live.for_batch(batch))).max()) == 0.0
    with pytest.raises(SpecError, match="one of the teacher's 2 layers, but got 3"):
        Relations(layer=3).build(made, ctx)
