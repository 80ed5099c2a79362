"""Mixture-of-Supernets as a stage: taught as AutoDistil's supernets are, searched and taken out by the same stages."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from autokd.contracts import Models, Sizes
from autokd.core.errors import SpecError
from autokd.methods import autodistil
from autokd.methods.autodistil import ExtractSubnet, SearchSubnet
from autokd.methods.basics import AdamW, Distil, FineTuneTeacher
from autokd.methods.basics.supernets import SLOT
from autokd.methods.mixture_of_supernets import TrainSupernet
from autokd.models.elastic import shape_of
from autokd.models.mixture import MixtureSupernet, Router
from autokd.models.slots import ENCODER
from autokd.models.subspaces import subspace
from autokd.models.supernet import supernet_of
from autokd.pipeline import Pipeline, task_facts
from autokd.testing.context import tiny_context
from autokd.testing.methods import TEACHER, run_stages
from autokd.testing.tiny import tiny_task
from tests.methods.test_autodistil import BERT, losses

TRAIN = TrainSupernet(space="base", epochs=5, batch_size=8, optimizer=AdamW(lr=3e-3), dropout=0.0)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return run_stages((TEACHER,), tiny_task(), tmp_path_factory.mktemp("teacher"))


def run(stage: TrainSupernet | autodistil.TrainSupernet, start: Models, root: Path, use: str) -> Models:
    return stage.run(start, tiny_context(root, tiny_task(), use, folder=use.partition(":")[0]))


@pytest.mark.parametrize("routing", ["layer", "neuron"])
def test_sub_networks_and_their_routers_learn(start: Models, tmp_path: Path, routing: str) -> None:
    stage = replace(TRAIN, routing=routing)
    made = run(stage, start, tmp_path, "mixture_of_supernets:TrainSupernet")
    supernet = supernet_of(made[SLOT])
    assert isinstance(supernet, MixtureSupernet)
    begun = tiny_context(tmp_path, tiny_task(), "mixture_of_supernets:TrainSupernet")
    teacher = start["dense_teacher"]
    shape = shape_of(teacher)
    first = supernet_of(stage.start(teacher, shape, subspace("base", shape), begun))
    before, after = losses(made, first, tmp_path), losses(made, supernet, tmp_path)
    assert all(after[each] < before[each] for each in after)
    learnt = [each for each in supernet.mixed[0].modules() if isinstance(each, Router)]
    assert all(float(router.last.weight.detach().abs().max()) > 0 for router in learnt)
    last = [each for each in supernet.mixed[1].modules() if isinstance(each, Router)]  # behind what is compared
    assert all(float(router.last.weight.detach().abs().max()) == 0 for router in last)
    encodings = [supernet.encoding(each) for each in (supernet.subspace.smallest, supernet.subspace.largest)]
    shares = [supernet.mixed[0].shares(encoding, 1, 1)[0] for encoding in encodings]
    assert not torch.equal(*shares)


def test_one_expert_trains_as_plain_sharing_does(start: Models, tmp_path: Path) -> None:
    """The same seeds: the two stages see the same batches and sub-networks then."""
    use = "autodistil:TrainSupernet"
    common = {field.name: getattr(TRAIN, field.name) for field in fields(autodistil.TrainSupernet)}
    plain = run(autodistil.TrainSupernet(**common), start, tmp_path / "a", use)
    one = run(TrainSupernet(**common, experts=1), start, tmp_path / "b", use)
    for name, value in plain[SLOT].weights.items():
        torch.testing.assert_close(one[SLOT].weights[name], value, atol=1e-5, rtol=1e-4)


def test_students_are_searched_and_taken_out_as_from_any_supernet(start: Models, tmp_path: Path) -> None:
    made = run(replace(TRAIN, epochs=1), start, tmp_path, "mixture_of_supernets:TrainSupernet")
    for stage in (SearchSubnet(macs=0.8, share=0.5), ExtractSubnet(hidden=0.5)):
        found = stage.run(made, tiny_context(tmp_path, tiny_task(), "autodistil:SearchSubnet"))["student"]
        assert found.builder == ENCODER
        assert not any("mixed" in name for name in found.weights)


def test_pipelines_of_both_papers() -> None:
    stages = (FineTuneTeacher(), TrainSupernet(), SearchSubnet(), Distil())
    pipeline = Pipeline(stages)
    pipeline.check(task_facts(tiny_task()))
    assert pipeline.n_shared == 2
    _, sizes = pipeline.forecast(Sizes(1000, 30.0, BERT))
    assert sizes.student is not None


def test_mixing_costs_next_to_nothing() -> None:
    sizes = Sizes(10_000, 64.0, BERT)
    plain, _ = autodistil.TrainSupernet().cost(sizes)
    mixed, _ = TrainSupernet(experts=2).cost(sizes)
    assert plain.macs < mixed.macs < 1.02 * plain.macs


def test_wrong_values_are_refused() -> None:
    with pytest.raises(SpecError, match=r"TrainSupernet.experts must be a whole number of at least 1"):
        TrainSupernet(experts=0)
    with pytest.raises(SpecError, match=r"TrainSupernet.routing must be one of layer, neuron"):
        TrainSupernet(routing="token")
