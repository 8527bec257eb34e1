"""``qmtl up``, ``stack`` and ``down`` on a stack of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from qmtl_sdk.cli.main import run

Captured = pytest.CaptureFixture[str]


def answer_of(capsys: Captured, *arguments: str, code: int = 0) -> Any:
    """Run a command line and return its JSON answer."""
    assert run([*arguments, "--output", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_stack_comes_up_heals_and_goes_down(state_dir: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_STATE_DIR", str(state_dir))
    monkeypatch.delenv("QMTL_GATEWAY", raising=False)
    up = answer_of(capsys, "up")
    assert up["healthy"] is True
    assert [each["name"] for each in up["processes"]] == ["postgres", "nats", "dagmgr", "world", "gateway", "executor"]
    assert [each["name"] for each in answer_of(capsys, "data", "presets")["presets"]] == up["data_presets"]

    [pid] = [each["pid"] for each in up["processes"] if each["name"] == "gateway"]
    gateway = psutil.Process(pid)
    gateway.kill()
    gateway.wait(5.0)
    assert run(["stack", "status"]) == 4
    assert "gateway was killed by SIGKILL; the end of " in capsys.readouterr().out

    assert run(["up"]) == 0
    shown = capsys.readouterr()
    assert "found dead" in shown.err
    assert "already running" in shown.err
    assert f"gateway at {up['gateway']}" in shown.out
    assert run(["stack", "status"]) == 0
    capsys.readouterr()

    assert len(answer_of(capsys, "stack", "logs", "gateway", "--lines", "1")["lines"]) == 1
    assert run(["stack", "logs", "nonsense"]) == 1
    assert "choose one of postgres, nats" in capsys.readouterr().err

    assert run(["down"]) == 0
    assert "the data stays" in capsys.readouterr().out
    stopped = answer_of(capsys, "stack", "status", code=4)
    assert {each["health"] for each in stopped["processes"]} == {"stopped"}


def test_migrate_says_what_it_did(postgres_dsn: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_POSTGRES_DSN", postgres_dsn)
    assert run(["migrate", "--output", "json"]) == 0
    first = json.loads(capsys.readouterr().out)["schemas"]
    assert [(each["schema"], each["before"]) for each in first] == [
        ("dagmgr", None),
        ("world", None),
        ("gateway", None),
        ("executor", None),
    ]
    assert run(["migrate"]) == 0
    assert "world: " in capsys.readouterr().out
