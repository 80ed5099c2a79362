"""The built wheel holds what it needs and runs away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from autokd.space import shipped_spaces

ROOT = Path(__file__).resolve().parents[1]


def _run(*command: str | Path, folder: Path, **environment: str) -> str:
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    run = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("autokd", "search_spaces", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    _run(sys.executable, *build, folder=source)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_code_spaces_types_and_the_page_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "autokd").rglob("*.py")}
    assert sources <= names
    spaces = {f"autokd/_spaces/{path.name}" for path in (ROOT / "search_spaces").iterdir() if path.is_file()}
    assert spaces <= names
    assert {"autokd/py.typed", "autokd/report/page.css", "autokd/report/page.js"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "autokd",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


def test_what_the_wheel_holds_finds_its_spaces_elsewhere(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    code = "import autokd, autokd.space; print(autokd.__file__); print(*(p for p in autokd.space.shipped_spaces()))"
    told = _run(sys.executable, "-c", code, folder=tmp_path, PYTHONPATH=str(place)).split()
    assert len(told) == 1 + len(shipped_spaces())
    assert all(Path(path).is_relative_to(place) for path in told)


@pytest.mark.slow
def test_a_clean_environment_with_the_wheel_runs_a_search(wheel: Path, tmp_path: Path) -> None:
    """Needs a package index. The search is the README's, with the smallest budget that holds a teacher."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[offline]", folder=tmp_path)
    autokd = tmp_path / "env" / "bin" / "autokd"
    assert "basics" in _run(autokd, "check", "basics", folder=tmp_path)
    told = _run(autokd, "search", "--dataset", "pydocs", "--budget", "1trials", "--json", folder=tmp_path)
    assert '"front": [{' in told.splitlines()[-1]
