"""What starts fast starts without torch: tried in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "ray", "datasets")
LIGHT = (
    "autokd",
    "autokd.cli",
    "autokd.core.settings",
    "autokd.recommend.proposals",
    "autokd.report.page",
    "autokd.space",
    "autokd.store.study_store",
    "autokd.store.summaries",
    "autokd.study.policy",
    "autokd.study.result",
)
LOOKING = (["--help"], ["search", "--help"], ["studies"], ["studies", "--json"], ["report", "no-such-study"])


def _run(code: str) -> list[str]:
    """What a fresh interpreter prints. ``heavy()`` in it lists the heavy modules that are loaded."""
    prelude = f"import sys\ndef heavy(): return [name for name in {HEAVY!r} if name in sys.modules]\n"
    run = subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_light_modules_load_nothing_heavy() -> None:
    code = f"import importlib\nfor name in {LIGHT!r}:\n    importlib.import_module(name)\n    print(name, *heavy())"
    assert _run(code) == list(LIGHT)


def test_commands_that_only_look_load_nothing_heavy() -> None:
    code = (
        "import contextlib, io\nfrom autokd.cli import main\n"
        f"for arguments in {LOOKING!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        main(arguments)\n"
        "    print(' '.join(arguments), *heavy())"
    )
    assert _run(code) == [" ".join(arguments) for arguments in LOOKING]


def test_importing_autokd_is_light_and_its_names_are_all_there() -> None:
    code = "import autokd\nprint(heavy())\nfor name in autokd.__all__: getattr(autokd, name)\nprint(heavy()[:1])"
    assert _run(code) == ["[]", "['torch']"]
