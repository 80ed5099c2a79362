"""What the README shows is true: its Python runs, its commands parse, its space is one, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from autokd.cli.main import cli
from autokd.core.address import load_files
from autokd.space import Space
from autokd.survey import survey

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.parts[1:]))

# The README's data set and budget take hours; these say the same of something small.
SMALL = {
    'autokd.search("rte", "8gpu-h")': 'autokd.search("mine.csv", "1trials", teacher="teacher", space="small.yaml", runner="pool", workers=1)',  # noqa: E501
    'DataSource("rte")': 'DataSource("mine.csv")',
    "Distiller(pipeline)": 'Distiller(pipeline, teacher="teacher")',
    '"keep": 3': '"keep": 1',
    'from_pretrained("my-student")': "from_pretrained(student.checkpoint)",
    'from_pretrained("my-student-int8")': "from_pretrained(best.forms[1].folder)",
    '"my-student-int8/model.onnx"': 'best.forms[1].folder + "/model.onnx"',
}
# What commands of the README name must be there.
FILES = ("pipeline.json", "old-bert/pytorch_model.bin")


def blocks(language: str) -> list[str]:
    """The README's blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The words of every command line of the README."""
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


def test_the_first_block_is_the_two_commands() -> None:
    assert [words for words in commands()[:2]] == [["make", "search"], ["make", "test"]]
    assert README.index("```bash") < 900


@pytest.mark.parametrize("words", [w for w in commands() if w[0] == "make"], ids=" ".join)
def test_make_knows_its_targets(words: list[str]) -> None:
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("words", [w for w in commands() if w[0] == "autokd"], ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    for file in map(Path, FILES):
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    assert command is not cli
    command.make_context("autokd", rest)


def test_every_option_of_the_tables_exists() -> None:
    known = {option for command in cli.commands.values() for p in command.params for option in p.opts}
    named = set(re.findall(r"`(--[a-z-]+)", README))
    assert named <= known
    assert len(named) > 5


def test_the_python_of_the_readme_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    *run, method = blocks("python")
    source = "\n".join(run)
    for shown, small in SMALL.items():
        assert shown in source
        source = source.replace(shown, small)
    names: dict[str, Any] = {}
    exec(compile(source, "README.md", "exec"), names)
    assert names["best"].checkpoint
    assert names["best"].forms[1].runtime == "onnx-int8"
    assert names["model"].config.num_labels == 2
    assert names["logits"].shape == (2, 2)
    assert names["within_one"](np.eye(3), np.array([0, 2, 0])) == pytest.approx(2 / 3)
    assert "PlainSgd" in method


def test_the_space_of_the_readme_with_the_method_of_the_readme(workplace: Path, tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    assert [hole.name for hole in Space.parse(text, "mine").holes] == ["layers", "temperature", "hidden", "lr"]
    (tmp_path / "my_methods.py").write_text(blocks("python")[-1])
    load_files([tmp_path / "my_methods.py"])
    own = re.search(r"\{use: my_methods:PlainSgd[^}]*\}", README)
    assert own is not None
    text = re.sub(r"\{use: basics:AdamW.*\}$", own[0], text, flags=re.MULTILINE).replace("[1, 2, 3]", "[1, 2]")
    (tmp_path / "mine.yaml").write_text(text)
    found = survey(str(tmp_path / "mine.yaml"), teacher=str(workplace / "teacher"))
    assert "my_methods:PlainSgd" in found.uses
    assert found.masked == ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target
