from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from autokd.cli import options

URL = "postgresql://me:s3cret@host/team"
SHOWN = "postgresql://me:***@host/team"
PROGRAM = """
import json, os
from pathlib import Path
from autokd.cli.passwords import hide_password
hide_password()
told = [Path("/proc/self/cmdline").read_text(), os.environ.get("AUTOKD_STORAGE")]
print(json.dumps(told))
"""


@pytest.mark.parametrize(
    ("words", "url"),
    [
        (["--storage", URL], URL),
        ([f"--storage={URL}"], URL),
        (["--storage", "sqlite:///studies/a.db"], None),
        (["--storage", "postgresql://me@host/team"], None),
    ],
)
def test_a_running_commands_line_shows_no_password(
    words: list[str], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTOKD_STORAGE", raising=False)
    command = [sys.executable, "-c", PROGRAM, "studies", *words, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    shown, variable = json.loads(run.stdout)
    assert variable == url
    assert "s3cret" not in shown
    assert shown.split("\0")[3:-1] == ["studies", *(word.replace("s3cret", "***") for word in words), "--json"]


@pytest.mark.parametrize(
    ("given", "taken"), [(SHOWN, URL), ("postgresql://you:***@host/team", "postgresql://you:***@host/team")]
)
def test_a_storage_that_is_named_without_its_password_has_the_variables(given: str, taken: str) -> None:
    @click.command()
    @options.storage
    def command(storage: str) -> None:
        click.echo(storage)

    ran = CliRunner().invoke(command, ["--storage", given], env={"AUTOKD_STORAGE": URL})
    assert ran.output == taken + "\n"
    assert CliRunner().invoke(command, [], env={"AUTOKD_STORAGE": URL}).output == URL + "\n"
