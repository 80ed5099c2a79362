from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autokd.cli import health
from tests.cli.conftest import Ran

Autokd = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting Ray takes seconds; what it says then is made up here."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nOSError: no room for Ray")

    monkeypatch.setattr(health.subprocess, "run", run)


def _by_name(ran: Ran) -> dict[str, Any]:
    return {check["name"]: check for check in ran.json["checks"]}


def test_a_machine_that_works_is_well_and_every_check_is_listed(autokd: Autokd, tmp_path: Path) -> None:
    ran = autokd("doctor", "--json", "--storage", f"sqlite:///{tmp_path}/new.db")
    assert ran.code == 0, ran.err
    assert ran.json["ok"] is True
    found = _by_name(ran)
    assert {"python", "torch", "cpu", "gpu", "ray start", "storage", "disk", "hub", "AUTOKD_DATA"} <= set(found)
    assert found["hub"]["state"] == "note"  # the tests run offline
    assert not (tmp_path / "new.db").exists()
    shown = autokd("doctor", "--storage", f"sqlite:///{tmp_path}/new.db").out
    assert all(line[:5].strip() in ("ok", "--") for line in shown.splitlines())


def test_ray_that_does_not_start_is_told_and_is_no_failure(autokd: Autokd) -> None:
    found = _by_name(autokd("doctor", "--json"))["ray start"]
    assert found["state"] == "note"
    assert "OSError: no room for Ray" in found["told"]
    assert "--runner pool" in found["told"]


def test_what_every_search_needs_decides_the_exit_code(
    autokd: Autokd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.db").write_text("this is no database")
    ran = autokd("doctor", "--json", "--storage", f"sqlite:///{tmp_path}/broken.db")
    assert ran.code == 1
    assert _by_name(ran)["storage"]["state"] == "FAIL"
    assert "what must work does not: storage" in ran.err
    monkeypatch.setenv("AUTOKD_DATA", str(tmp_path / "nowhere"))
    assert autokd("doctor").code == 1


def test_a_package_that_is_too_old_is_named(autokd: Autokd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        health.metadata, "requires", lambda name: ["click>=99", "no-such-package>=1", "gone; extra == 'onnx'"]
    )
    found = _by_name(autokd("doctor", "--json"))
    assert (found["click"]["state"], found["no-such-package"]["state"]) == ("note", "FAIL")
    assert "needs >=99" in found["click"]["told"]
    assert "pip install 'autokd[onnx]'" in found["gone"]["told"]


def test_a_full_disk_fails(autokd: Autokd, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 10**6

    monkeypatch.setattr("shutil.disk_usage", lambda folder: Full())
    ran = autokd("doctor", "--json")
    assert ran.code == 1
    assert "1 MB free" in _by_name(ran)["disk"]["told"]


def test_a_password_in_a_storage_is_not_shown(autokd: Autokd) -> None:
    ran = autokd("doctor", "--storage", "postgresql://me:secret@localhost:1/x")
    assert ran.code == 1
    assert "secret" not in ran.out + ran.err
