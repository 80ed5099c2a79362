"""A search as users run it, once for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autokd.cli import main
from tests.cli.bad_files import write_archives, write_code, write_data, write_models, write_storages
from tests.cli.refusals import Refusal, check_kept, check_line, state
from tests.cli.small_study import STORAGE, STUDY, make_study
from tests.workplace import make_workplace


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(scope="session")
def searched(workplace: Path) -> Ran:
    """``autokd search --json`` in a process of its own, as a script would call it."""
    command = [
        sys.executable, "-c", "from autokd.cli import main; main()", "search", "--dataset", "mine.csv",
        "--teacher", "teacher", "--space", "small.yaml", "--budget", "2trials", "--runner", "pool", "--workers", "1",
        "--study", "first", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True, timeout=300)
    return Ran(run.returncode, run.stdout, run.stderr)


@pytest.fixture
def autokd(workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command in this process, in the workplace."""

    def run(*arguments: str) -> Ran:
        monkeypatch.chdir(workplace)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(autouse=True)
def _forget_plug_ins() -> Iterator[None]:
    """Method files that a command loaded are no part of the tests that come after."""
    yield
    for name in [name for name in sys.modules if name.startswith("autokd_methods_file_")]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workplace with a finished study, ``first``, for what must leave it as it is."""
    folder = tmp_path_factory.mktemp("kept")
    make_workplace(folder)
    with chdir(folder):
        make_study()
    return folder


@pytest.fixture(scope="session")
def bad(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of everything that can be wrong with files."""
    from autokd.study.archive import export_study
    from autokd.study.result import read_result

    folder = tmp_path_factory.mktemp("bad")
    with chdir(kept):
        found = read_result(STORAGE, STUDY)
        export_study(STORAGE, STUDY, folder / "study.zip")
    write_data(folder)
    write_code(folder)
    write_models(folder, kept / "teacher", Path(found.front[0].checkpoint))
    write_storages(folder, kept / "studies" / "autokd.db")
    write_archives(folder, folder / "study.zip")
    return folder


@pytest.fixture
def refused(
    kept: Path, bad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Refusal], None]:
    """Runs a command that must fail beside a finished study, and checks all that every refusal keeps to.

    ``{bad}``, ``{new}`` and ``{kept}`` in a command are the folder of bad files, an empty one, and the study's.
    """

    def run(case: Refusal) -> None:
        monkeypatch.chdir(kept)
        before = state(kept)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(case.arguments({"bad": bad, "new": tmp_path, "kept": kept}))
        out, err = capfd.readouterr()
        check_line(err, case.words)
        assert int(ended.value.code or 0) == case.code, err
        assert out == ""
        check_kept(before, kept)

    return run
