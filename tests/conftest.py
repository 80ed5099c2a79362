"""What holds for every test: one thread, no hub, no leftovers of another run's environment."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch, tokenizers and Hugging Face are imported: they read these once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pytest
import torch

from tests.workplace import make_workplace

torch.set_num_threads(1)


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data that ``AUTOKD_DATA`` names; tests that need it are skipped where it is not set."""
    named = os.environ.get("AUTOKD_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("needs real data: set AUTOKD_DATA to a folder that holds glue/ and text/")
    return Path(named)


@pytest.fixture(autouse=True)
def _fresh_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own, so that defaults such as ``studies/autokd.db`` never meet."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``mine.csv``, ``teacher`` and ``small.yaml``, shared by all tests of a run."""
    folder = tmp_path_factory.mktemp("workplace")
    make_workplace(folder)
    return folder
