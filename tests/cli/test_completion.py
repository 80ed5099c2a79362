from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]


def _completed(words: str, folder: Path) -> list[str]:
    """What the shell is offered after these words."""
    environment = {
        **os.environ,
        "_AUTOKD_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    code = "import sys\nfrom autokd.cli import main\ntry:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "AssertionError" not in run.stderr
    return [line.partition(",")[2] for line in run.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(autokd: Autokd, shell: str) -> None:
    ran = autokd("completion", shell)
    assert ran.code == 0
    assert f"_AUTOKD_COMPLETE={shell}_complete" in ran.out


def test_the_shell_that_runs_is_the_default_and_others_are_told(
    autokd: Autokd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    assert "zsh_complete" in autokd("completion").out
    monkeypatch.setenv("SHELL", "/usr/bin/tcsh")
    ran = autokd("completion")
    assert (ran.code, ran.out) == (2, "")
    assert "this shell is 'tcsh'" in ran.err


def test_commands_and_choices_are_completed(tmp_path: Path) -> None:
    assert _completed("autokd ex", tmp_path) == ["export"]
    assert _completed("autokd export x --format on", tmp_path) == ["onnx", "onnx-int8"]
    assert "basics" in _completed("autokd check ", tmp_path)


def test_names_of_studies_are_completed(searched: Ran, workplace: Path) -> None:
    assert "first" in _completed("autokd report ", workplace)
    for words in ("autokd studies show fi", "autokd export fi"):
        assert _completed(words, workplace) == ["first"]
    assert _completed("autokd report --storage sqlite:///nowhere.db ", workplace) == []
    assert _completed("autokd studies --storage sqlite:///nowhere.db show ", workplace) == []
