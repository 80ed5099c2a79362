"""Mixtures of weights: plain sharing as a special case, what routers see, and collapse to ordinary networks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from autokd.contracts import Slot
from autokd.core.errors import SpecError
from autokd.models.elastic import shape_of
from autokd.models.mixture import MixtureSupernet, Router, mixed, mixture_from
from autokd.models.slots import ENCODER, build, load_slot, save_slot
from autokd.models.subspaces import Architecture, Subspace
from autokd.models.supernet import extract, supernet_from, supernet_of
from autokd.models.tiny import tiny_slot
from tests.models.lively import lively, padded_batch

SPACE = Subspace((1, 2, 3), (1, 2, 4), (5, 8, 12), (1.0, 2.0))
BATCH = padded_batch()
ROUTINGS = ("layer", "neuron")


@pytest.fixture(scope="module")
def teacher() -> Slot:
    return lively(tiny_slot(depth=3))


def made(teacher: Slot, experts: int = 2, routing: str = "neuron", spread: float = 0.5, seed: int = 0) -> Slot:
    return mixture_from(teacher, shape_of(teacher), SPACE, experts, routing, spread, seed)


def module(slot: Slot, *, routed: bool = True) -> MixtureSupernet:
    """The supernet; ``routed``: its routers no longer at their start, where all experts have equal shares."""
    found = supernet_of(slot)
    assert isinstance(found, MixtureSupernet)
    if routed:
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for router in routers(found):
                router.last.weight.copy_(torch.randn(router.last.weight.shape, generator=generator))
                router.last.bias.copy_(torch.randn(router.last.bias.shape, generator=generator))
    return found


def routers(supernet: MixtureSupernet) -> list[Router]:
    return [each for each in supernet.modules() if isinstance(each, Router)]


def router_gradient(supernet: MixtureSupernet) -> float:
    supernet.zero_grad()
    supernet.member(SPACE.largest)(BATCH).logits.square().sum().backward()
    gradients = [p.grad for router in routers(supernet) for p in router.parameters() if p.grad is not None]
    assert gradients
    return max(float(gradient.abs().max()) for gradient in gradients)


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("architecture", [SPACE.smallest, SPACE.largest, Architecture(2, 2, 8, 8)])
def test_one_expert_is_plain_sharing(teacher: Slot, routing: str, architecture: Architecture) -> None:
    one = module(made(teacher, experts=1, routing=routing))
    encoding = one.encoding(architecture)
    for router in routers(one):
        assert torch.equal(router(encoding, 1), torch.ones(1, 1))
    plain = supernet_of(supernet_from(teacher, shape_of(teacher), SPACE))
    assert torch.equal(one.member(architecture)(BATCH).logits, plain.member(architecture)(BATCH).logits)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_equal_experts_make_routers_useless_and_give_them_no_gradient(teacher: Slot, routing: str) -> None:
    slot = made(teacher, routing=routing, spread=0.0)
    start, routed = module(slot, routed=False), module(slot)
    torch.testing.assert_close(
        start.member(SPACE.largest)(BATCH).logits, routed.member(SPACE.largest)(BATCH).logits, atol=1e-5, rtol=1e-5
    )
    assert router_gradient(start) == 0.0
    assert router_gradient(module(made(teacher, routing=routing, spread=0.1), routed=False)) > 1e-4


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("experts", [2, 3])
def test_distinct_experts_start_as_the_teacher_together(teacher: Slot, routing: str, experts: int) -> None:
    start = module(made(teacher, experts, routing), routed=False)
    plain = supernet_of(supernet_from(teacher, shape_of(teacher), SPACE))
    for architecture in (SPACE.smallest, SPACE.largest):
        ours, theirs = (net.member(architecture)(BATCH).logits for net in (start, plain))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    first, second = start.encoder.layers[0].ffn.up.weight.detach(), start.mixed[0].up[0].weight.detach()
    apart = (first - second).std() / plain.encoder.layers[0].ffn.up.weight.detach().std()
    assert 0.4 < float(apart) < 1.2  # sqrt(2) times half a standard deviation


def test_a_slice_of_the_mixture_is_the_mixture_of_slices() -> None:
    experts = [torch.randn(6, 5, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    shares = torch.softmax(torch.randn(6, 3, generator=torch.Generator().manual_seed(9)), -1)
    assert torch.equal(mixed(experts, shares)[:4, :2], mixed([each[:4, :2] for each in experts], shares[:4]))
    expected = sum(shares[:, j : j + 1] * experts[j] for j in range(3))
    torch.testing.assert_close(mixed(experts, shares), expected)
    biases = [each[:, 0] for each in experts]
    torch.testing.assert_close(mixed(biases, shares), (torch.stack(biases, 1) * shares).sum(1))


def test_equal_rows_of_a_neuron_wise_mixture_are_a_layer_wise_one() -> None:
    experts = [torch.randn(6, 5, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    row = torch.tensor([[0.3, 0.7]])
    assert torch.equal(mixed(experts, row), mixed(experts, row.expand(6, 2)))


@pytest.mark.parametrize("experts", [2, 4])
def test_rows_of_the_first_neurons_do_not_depend_on_how_many_follow(experts: int) -> None:
    """The last layer's outputs lie [neuron, expert]: laid the other way round they would break under slicing."""
    router = Router(10, experts)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in router.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    encoding = torch.tensor([0.5, 1.0, 0.25, 0.75])
    whole = router(encoding, 10)
    for n in (1, 3, 7):
        torch.testing.assert_close(router(encoding, n), whole[:n], atol=1e-6, rtol=1e-6)
    assert whole.shape == (10, experts)
    assert whole.min() >= 0
    torch.testing.assert_close(whole.sum(1), torch.ones(10))
    assert whole.std(0).min() > 0.01  # rows are not alike


@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_architecture_has_its_own_weights_and_keeps_them(teacher: Slot, routing: str) -> None:
    supernet = module(made(teacher, routing=routing))
    deep, shallow = (supernet.weights(Architecture(layers, 4, 12, 24)) for layers in (3, 2))
    name = "layers.0.ffn.up.weight"
    assert deep[name].shape == shallow[name].shape
    assert not torch.allclose(deep[name], shallow[name], atol=1e-3)
    assert torch.equal(deep["layers.0.attention.query.weight"], shallow["layers.0.attention.query.weight"])
    again = supernet.weights(Architecture(3, 4, 12, 24))
    assert all(torch.equal(deep[each], again[each]) for each in deep)


def test_layer_wise_both_matrices_have_one_mixture(teacher: Slot) -> None:
    supernet = module(made(teacher, routing="layer"))
    up, down = supernet.mixed[0].shares(supernet.encoding(SPACE.largest), 24, 12)
    assert up is down
    assert up.shape == (1, 2)
    supernet = module(made(teacher, routing="neuron"))
    up, down = supernet.mixed[0].shares(supernet.encoding(SPACE.largest), 24, 12)
    assert (up.shape, down.shape) == ((24, 2), (12, 2))


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("architecture", [SPACE.smallest, SPACE.largest, Architecture(2, 2, 8, 8)])
def test_collapsed_equals_mixed(teacher: Slot, routing: str, architecture: Architecture) -> None:
    slot = made(teacher, experts=3, routing=routing)
    supernet = module(slot)
    trained = Slot(slot.builder, slot.config, supernet.state_dict(), "", slot.tokenizer)
    student = extract(trained, architecture)
    assert student.builder == ENCODER
    plain = build(student)
    inside = supernet.member(architecture)(BATCH).logits
    torch.testing.assert_close(plain(BATCH).logits, inside, atol=1e-5, rtol=1e-5)
    assert not any(word in name for name in student.weights for word in ("mixed", "router", "expert"))
    shape = shape_of(student)
    assert shape == architecture.shape(shape_of(teacher))
    assert sum(p.numel() for p in plain.parameters()) == shape.params()


def test_mixing_weights_is_not_mixing_outputs() -> None:
    """As soon as an activation follows: these are no experts that tokens are sent to."""
    up = [torch.randn(24, 8, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    down = [torch.randn(8, 24, generator=torch.Generator().manual_seed(5 + i)) for i in range(2)]
    shares, inputs = torch.tensor([[0.4, 0.6]]), torch.randn(16, 8, generator=torch.Generator().manual_seed(9))

    def network(first: Tensor, second: Tensor, activation: nn.Module | None) -> Tensor:
        inner = inputs @ first.T
        return (inner if activation is None else functional.gelu(inner)) @ second.T

    def outputs(firsts: Sequence[Tensor], activation: nn.Module | None) -> Tensor:
        return sum(  # type: ignore[return-value]
            shares[0, j] * network(first, down[0], activation) for j, first in enumerate(firsts)
        )

    weights = network(mixed(up, shares), down[0], None)
    torch.testing.assert_close(weights, outputs(up, None), atol=1e-4, rtol=1e-4)
    bent = network(mixed(up, shares), mixed(down, shares), nn.GELU())
    assert (bent - outputs(up, nn.GELU())).abs().max() > 1.0


def test_a_mixture_is_saved_and_loaded_and_depends_on_its_seed(teacher: Slot, tmp_path) -> None:
    slot = made(teacher, routing="layer")
    save_slot(slot, tmp_path / "net")
    assert load_slot(tmp_path / "net").content == slot.content == made(teacher, routing="layer").content
    assert made(teacher, routing="layer", seed=1).content != slot.content


def test_an_unknown_routing_is_refused(teacher: Slot) -> None:
    with pytest.raises(SpecError, match="one of layer, neuron, but got 'token'"):
        made(teacher, routing="token")
