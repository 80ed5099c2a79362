"""Nested state on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autokd.core.errors import StorageError
from autokd.engine.checkpoint import has_state, load_state, save_state


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    draw = np.random.Generator(np.random.PCG64(3))
    whole = torch.arange(6.0)
    state = {
        "tensors": [whole, whole[2:4], torch.zeros(0), torch.tensor(3), torch.ones(2, 3).t(), whole],
        "kinds": [torch.tensor([True]), torch.tensor([1.5], dtype=torch.bfloat16), torch.tensor([1, 2])],
        "numbers": (1, 0.1, True, None, float("inf"), "text"),
        "by number": {0: {"a": ()}, 1.5: []},
        "stream": draw.bit_generator.state,
    }
    save_state(tmp_path / "s", state)
    found = load_state(tmp_path / "s")
    for name in ("tensors", "kinds"):
        for was, now in zip(state[name], found[name], strict=True):
            assert was.dtype == now.dtype
            assert torch.equal(was, now)
    for name in ("numbers", "by number", "stream"):
        assert found[name] == state[name]
        assert type(found[name]) is type(state[name])


def test_an_optimizers_state_comes_back(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_state(tmp_path, optimizer.state_dict())
    again = torch.optim.AdamW(layer.parameters(), lr=0.5, fused=True)
    again.load_state_dict(load_state(tmp_path))
    assert again.param_groups[0]["lr"] == 0.1
    assert torch.equal(again.state[layer.weight]["exp_avg"], optimizer.state[layer.weight]["exp_avg"])


def test_saving_again_replaces_and_leaves_no_old_tensors(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert not has_state(folder)
    for value in (1.0, 2.0):
        save_state(folder, {"x": torch.tensor([value])})
    assert has_state(folder)
    assert load_state(folder)["x"].item() == 2.0
    assert len(list(folder.iterdir())) == 2


def test_a_save_that_was_killed_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, {"x": torch.tensor([1.0])})

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, {"x": torch.tensor([2.0])})
    assert load_state(tmp_path)["x"].item() == 1.0


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no state can be read"):
        load_state(tmp_path)
    save_state(tmp_path, {"x": torch.ones(100)})
    [tensors] = tmp_path.glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-8])
    with pytest.raises(StorageError, match="damaged"):
        load_state(tmp_path)


def test_what_is_not_plain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="set"):
        save_state(tmp_path, {"x": {1, 2}})
