"""``doctor``: whether this machine has what autokd needs."""

from __future__ import annotations

import click

from autokd.cli import options
from autokd.cli.output import print_json, say

_MARKS = {"ok": "ok", "note": "--", "FAIL": "FAIL"}


@click.command(
    short_help="Check what this machine has.",
    epilog=options.examples("autokd doctor", "autokd doctor --storage /shared/team.db --json"),
)
@options.storage
@options.artifacts
@options.as_json
def doctor(storage: str, artifacts: str | None, as_json: bool) -> None:
    """Check Python, packages, devices, Ray, the storage, the disk, the hub and the data folder.

    `--` marks what is optional and missing. Exits with 1 only where something fails that every search needs.
    """
    from autokd.cli.health import checks

    found = []
    for check in checks(storage, artifacts):
        found.append(check)
        if not as_json:
            click.echo(f"{_MARKS[check.state]:<5} {check.name:<16} {check.told}")
    failed = [check.name for check in found if check.state == "FAIL"]
    if as_json:
        print_json({"ok": not failed, "checks": [check.to_json() for check in found]})
    if failed:
        say(f"autokd: what must work does not: {', '.join(failed)}.")
        raise click.exceptions.Exit(1)
