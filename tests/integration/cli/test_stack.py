"""``qmtl up``, ``stack`` and ``down`` on a stack of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qmtl_sdk.cli.main import run

Captured = pytest.CaptureFixture[str]


def test_stack_comes_up_with_presets_and_goes_down(
    state_dir: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMTL_STATE_DIR", str(state_dir))
    monkeypatch.delenv("QMTL_GATEWAY", raising=False)
    assert run(["up", "--output", "json"]) == 0
    up = json.loads(capsys.readouterr().out)
    assert up["healthy"] is True
    assert [each["name"] for each in up["processes"]] == ["postgres", "nats", "dagmgr", "world", "gateway"]
    assert run(["up"]) == 0
    shown = capsys.readouterr()
    assert "already running" in shown.err
    assert f"gateway at {up['gateway']}" in shown.out
    assert run(["data", "presets", "--output", "json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["presets"]] == up["data_presets"]
    assert run(["stack", "status"]) == 0
    assert run(["stack", "logs", "gateway", "--lines", "1", "--output", "json"]) == 0
    assert capsys.readouterr().out.endswith("}\n")
    assert run(["stack", "logs", "nonsense"]) == 1
    assert "choose one of postgres, nats" in capsys.readouterr().err
    assert run(["down"]) == 0
    assert "the data stays" in capsys.readouterr().out
    assert run(["stack", "status", "--output", "json"]) == 4
    assert {each["health"] for each in json.loads(capsys.readouterr().out)["processes"]} == {"stopped"}


def test_migrate_says_what_it_did(postgres_dsn: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_POSTGRES_DSN", postgres_dsn)
    assert run(["migrate", "--output", "json"]) == 0
    first = json.loads(capsys.readouterr().out)["schemas"]
    assert [(each["schema"], each["before"]) for each in first] == [
        ("dagmgr", None),
        ("world", None),
        ("gateway", None),
    ]
    assert run(["migrate"]) == 0
    assert "world: " in capsys.readouterr().out
