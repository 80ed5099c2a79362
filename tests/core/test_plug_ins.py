"""Methods of other packages, announced through the entry-point group ``autokd.methods``."""

import sys
from pathlib import Path

import pytest

from autokd import build
from autokd.core import address
from autokd.core.errors import SpecError

MODULE = """
from dataclasses import dataclass
from typing import ClassVar

import torch

from autokd.contracts import Facts

__all__ = ["Sgd"]


@dataclass(frozen=True)
class Sgd:
    kind: ClassVar[str] = "optimizer"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()
    lr: float = 0.1

    def build(self, groups):
        return torch.optim.SGD([p for group in groups for p in group.parameters], self.lr)
"""


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package that announces ``house`` as the given target."""

    def install(target: str) -> None:
        info = tmp_path / "house_methods_dist-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house-methods-dist\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{address.GROUP}]\nhouse = {target}\n")
        (tmp_path / "house_plug_in.py").write_text(MODULE)
        monkeypatch.syspath_prepend(str(tmp_path))

    yield install
    sys.modules.pop("house_plug_in", None)


def test_an_announced_method_is_built_listed_and_named(announce) -> None:
    announce("house_plug_in")
    made = build.build({"use": "basics:Distil", "optimizer": {"use": "house:Sgd", "lr": 0.5}})
    assert build.to_json(made)["optimizer"] == {"use": "house:Sgd", "lr": 0.5}
    assert build.build(build.to_json(made)) == made
    assert "house:Sgd" in {row["use"] for row in build.describe_methods()}


def test_an_entry_point_must_name_a_module(announce) -> None:
    announce("house_plug_in:Sgd")
    with pytest.raises(SpecError, match="must name a module"):
        address.resolve("house:Sgd")
