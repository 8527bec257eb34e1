"""How a command line ends: exit codes, and errors for people and for programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from qmtl_foundation.errors import Reason
from qmtl_sdk.cli import reference
from qmtl_sdk.cli.exits import MEANINGS, ExitCode, exit_code_of, exit_code_of_status
from qmtl_sdk.cli.main import run

ROOT = Path(__file__).resolve().parents[4]

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no stack of this machine answer."""
    monkeypatch.delenv("QMTL_GATEWAY", raising=False)
    monkeypatch.setenv("QMTL_STATE_DIR", str(tmp_path / "state"))


def error_of(captured: Captured) -> dict[str, object]:
    out, err = captured.readouterr()
    assert out == ""
    error = json.loads(err)["error"]
    assert isinstance(error, dict)
    return error


def test_no_command_shows_help(capsys: Captured) -> None:
    assert run([]) == ExitCode.OK
    assert "submit" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--output", "json", "--version"], ["--version", "--output", "json"]])
def test_version_as_json_is_one_document(arguments: list[str], capsys: Captured) -> None:
    assert run(arguments) == ExitCode.OK
    assert set(json.loads(capsys.readouterr().out)) == {"version"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["world"],
        ["world", "show"],
        ["world", "list", "--output", "xml"],
        ["world", "create", "w", "--fill", "never"],
        ["world", "policy", "activate", "w", "0"],
        ["submit", "x.py"],
        ["stack", "logs", "gateway", "--follow", "--output", "json"],
        ["apply", "start", "w", "--plan", "a/B=1", "--plan-file", "plan.yaml"],
        ["apply", "rollback", "w", "r"],
        ["world", "reseed", "w"],
        ["executor", "enrol", "w", "e"],
        ["executor", "paper", "--output", "json"],
        ["config", "validate", "nonsense"],
        ["config", "show"],
        ["top", "--interval", "0"],
    ],
)
def test_wrong_command_line_ends_with_usage(arguments: list[str], capsys: Captured) -> None:
    assert run(arguments) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "--help` says what there is" in err


def test_wrong_command_line_as_json_is_an_error_document(capsys: Captured) -> None:
    assert run(["world", "list", "--nonsense", "--output", "json"]) == ExitCode.USAGE
    error = error_of(capsys)
    assert error["reason"] == "USAGE"
    assert "--nonsense" in str(error["message"])


def test_refusal_is_one_sentence_without_traceback(capsys: Captured) -> None:
    assert run(["world", "list"]) == ExitCode.UNREACHABLE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: no stack was started in ")
    assert len(err.splitlines()) == 1


def test_refusal_as_json_has_reason_and_metadata(capsys: Captured, tmp_path: Path) -> None:
    assert run(["--output", "json", "world", "list"]) == ExitCode.UNREACHABLE
    error = error_of(capsys)
    assert error["reason"] == "NOT_CONFIGURED"
    assert error["metadata"] == {"state_dir": str(tmp_path / "state")}


@pytest.mark.parametrize("arguments", [["--debug", "world", "list"], ["world", "list", "--debug"]])
def test_debug_shows_the_traceback(arguments: list[str], capsys: Captured) -> None:
    run(arguments)
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_as_json_keeps_the_traceback_in_the_document(capsys: Captured) -> None:
    run(["world", "list", "--debug", "--output", "json"])
    assert "Traceback" in str(error_of(capsys)["traceback"])


def test_malformed_gateway_names_the_field(capsys: Captured) -> None:
    assert run(["world", "list", "--gateway", "here", "--output", "json"]) == ExitCode.REFUSED
    assert error_of(capsys)["violations"] == [{"field": "gateway", "description": "'here' is not host:port"}]


def test_migrate_without_dsn_names_the_variable(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QMTL_POSTGRES_DSN", raising=False)
    assert run(["migrate"]) == ExitCode.UNREACHABLE
    assert "QMTL_POSTGRES_DSN is not set" in capsys.readouterr().err


def test_status_of_no_stack_says_how_to_start_one(capsys: Captured) -> None:
    assert run(["stack", "status"]) == ExitCode.UNREACHABLE
    assert "qmtl up" in capsys.readouterr().out


def test_down_of_no_stack_is_no_error(capsys: Captured) -> None:
    assert run(["down", "--output", "json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"stopped": []}


def test_missing_policy_file_is_named(capsys: Captured, tmp_path: Path) -> None:
    assert run(["world", "policy", "check", "w", str(tmp_path / "none.yaml")]) == ExitCode.REFUSED
    assert "none.yaml cannot be read (No such file or directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [("[1, 2]", "holds no preset"), ("a: [", "neither YAML nor JSON"), ("nam: x", "data_preset.name: is missing")],
)
def test_bad_preset_file_is_refused_with_the_mend(text: str, told: str, capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text(text)
    assert run(["data", "presets", "add", str(file)]) == ExitCode.REFUSED
    assert told in capsys.readouterr().err


def test_every_exit_code_is_documented() -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert {exit_code_of(reason) for reason in Reason} <= set(ExitCode)


@pytest.mark.parametrize(
    ("status", "code"),
    [("valid", 0), ("invalid", 3), ("rejected", 3), ("pending", 5), ("of a newer release", 3)],
)
def test_status_of_a_submission_has_an_exit_code(status: str, code: int) -> None:
    assert exit_code_of_status(status) == code


@pytest.mark.parametrize("columns", ["60", "200"])
def test_page_of_the_commands_is_up_to_date(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    page = (ROOT / "docs" / "cli.md").read_text()
    assert reference.commands() in page
    assert reference.exit_codes() in page


def test_what_a_service_would_be_started_with_needs_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)  # as where it is not installed
    assert run(["config", "validate", "gateway", "--offline"]) == ExitCode.UNREACHABLE
    assert "run pip install 'qmtl[server]'" in capsys.readouterr().err


def test_executor_without_the_services_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)  # as where it is not installed
    assert run(["executor", "paper"]) == ExitCode.UNREACHABLE
    told = capsys.readouterr().err
    assert "the services are not installed (nats); run pip install 'qmtl[server]'" in told
