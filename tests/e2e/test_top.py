"""``qmtl top`` on a running stack: a session that sends orders, a run that waits, a source that is away."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qmtl_foundation.settings import Address
from qmtl_sdk.client import loop
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.stack import up
from qmtl_sdk.top.figures import Series, Source
from qmtl_sdk.top.sources import read_all, sources_of
from tests.support.command_line import QMTL, Qmtl
from tests.support.striking import kill
from tests.support.waiting import wait_until

POLICY = 'gates: [{name: sharpe, rule: "metrics.sharpe >= -9.0"}]\nselect: {top_k: 3}\n'
MANUAL = POLICY + "apply: manual\nruns: {freeze_timeout_ms: 60000}\n"
DAILY = """\
from qmtl_sdk import Strategy

class Daily(Strategy):
    def setup(self):
        self.target({"IBM": self.bars()["close"].symbol("IBM").pct_change().abs().clip(0.0, 1.0)})
"""
WAIT_SECONDS = 60.0
COLUMNS = 60


def made(qmtl: Qmtl, folder: Path, world: str, policy: str) -> str:
    """Make a world in which a strategy was submitted, and return the strategy's file."""
    file, rules = folder / f"{world}.py", folder / f"{world}.yaml"
    file.write_text(DAILY)
    rules.write_text(policy)
    options = ("--mode", "paper", "--share-policy", "world", "--policy", str(rules))
    assert qmtl("world", "create", world, *options).code == 0
    assert qmtl("submit", str(file), "--world", world).code == 0
    return str(file)


@contextmanager
def trading(file: str, world: str) -> Iterator[None]:
    """Let a strategy trade until the end: some bars a second."""
    command = (*QMTL, "run", file, "--world", world, "--replay", "--speed", "1000000x")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def series_of(source: Source) -> Series:
    assert source.last is not None
    return source.last.series


def top(qmtl: Qmtl, *options: str) -> dict[str, Any]:
    document = qmtl("top", "--interval", "0.5", *options).document
    assert isinstance(document, dict)
    return document


def test_a_session_and_the_rate_of_its_orders_are_shown_until_the_gateway_begins_anew(
    stack: StackStatus, qmtl: Qmtl, tmp_path: Path
) -> None:
    file = made(qmtl, tmp_path, "lively", POLICY)
    assert top(qmtl)["totals"]["sessions"] == 0
    with trading(file, "lively"):
        wait_until(lambda: (top(qmtl)["totals"]["accepted_per_s"] or 0.0) > 0.0, WAIT_SECONDS)
        document = top(qmtl)
    assert document["totals"]["sessions"] == 1
    [world] = [each for each in document["worlds"] if each["name"] == "lively"]
    assert (world["state"], world["gates"], world["active"]) == ("trading", "open", 1)
    assert {each["name"] for each in document["sources"]} == {"dagmgr", "world", "gateway", "executor"}
    assert all(each["fresh"] for each in document["sources"])
    [address] = [each.metrics_address for each in stack.processes if each.name == "gateway"]
    before = loop.run(read_all(sources_of([f"http://{address}"], Address.parse(stack.gateway_address))))
    assert sum(value for (name, _), value in series_of(before[0]).items() if name == "orders_accepted_total") > 0.0
    kill(stack, "gateway")
    up(stack.state_dir)
    [after] = loop.run(read_all(before))
    assert (after.figures.accepted_per_s, after.figures.sessions) == (0.0, 0.0)


def test_a_run_under_way_is_shown_with_whom_it_waits_for(stack: StackStatus, qmtl: Qmtl, tmp_path: Path) -> None:
    made(qmtl, tmp_path, "stuck", MANUAL)
    assert qmtl("executor", "enrol", "stuck", "absent", "--mode", "live").code == 0
    assert qmtl("apply", "start", "stuck", "--run-id", "waits", "--no-wait").code == 0

    def awaited() -> list[str]:
        return [name for each in top(qmtl, "--world", "stuck")["runs"] for name in each["awaited"]]

    wait_until(lambda: awaited() == ["executor absent"], WAIT_SECONDS)
    document = top(qmtl, "--world", "stuck")
    [run_] = document["runs"]
    assert (run_["world"], run_["run_id"], run_["phase"]) == ("stuck", "waits", "freezing")
    assert run_["age_s"] > 0.0
    assert [(each["name"], each["state"], each["gates"]) for each in document["worlds"]] == [
        ("stuck", "applying", "closed")
    ]
    assert qmtl("apply", "rollback", "stuck", "waits", "--reason", "enough").code == 0


def test_a_source_that_is_away_is_named_and_its_figures_are_not_known(stack: StackStatus, qmtl: Qmtl) -> None:
    metrics = [
        f"--metrics=http://{each.metrics_address}" for each in stack.processes if each.name in ("gateway", "world")
    ]
    kill(stack, "gateway")
    ended = qmtl("top", "--interval", "0.2", *metrics)
    assert ended.code == 4
    assert "does not answer" in ended.document["gateway"]["says"]
    assert (ended.document["totals"]["sessions"], ended.document["totals"]["accepted_per_s"]) == (None, None)
    assert [each["fresh"] for each in ended.document["sources"]] == [True, False]
    assert ended.document["sources"][0]["outbox_lag_s"] is not None


def test_a_gateway_that_is_not_the_stack_s_has_no_figures_and_says_why(
    stack: StackStatus, qmtl: Qmtl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMTL_GATEWAY", stack.gateway_address)
    monkeypatch.setenv("QMTL_TOKEN_FILE", str(stack.token_file))
    monkeypatch.setenv("QMTL_STATE_DIR", str(tmp_path))
    document = top(qmtl)
    assert document["sources"] == []
    assert document["totals"]["says"] == "no /metrics is known: name them by --metrics URL"
    assert {value for name, value in document["totals"].items() if name != "says"} == {None}


def test_a_world_that_is_not_there_is_refused(qmtl: Qmtl) -> None:
    ended = qmtl("top", "--world", "nowhere")
    assert (ended.code, ended.error["reason"]) == (1, "WORLD_NOT_FOUND")


def test_ctrl_c_ends_it_on_a_narrow_terminal_which_is_left_as_it_was(stack: StackStatus) -> None:
    terminal, own = pty.openpty()
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", 30, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = (*QMTL, "top", "--interval", "0.3")
    with subprocess.Popen(
        command, stdin=own, stdout=own, stderr=own, env={**environment, "TERM": "xterm"}, start_new_session=True
    ) as process:
        os.close(own)
        seen = read_until(terminal, "executor")
        process.send_signal(signal.SIGINT)
        seen += read_until(terminal, "\x1b[?1049l")
        assert process.wait(WAIT_SECONDS) == 0
    os.close(terminal)
    assert "sessions" in seen
    assert "Traceback" not in seen


def test_without_a_terminal_rounds_are_printed_until_ctrl_c(stack: StackStatus) -> None:
    command = (*QMTL, "top", "--interval", "0.3")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        headings = 0
        while headings < 3:
            headings += process.stdout.readline().startswith("qmtl top")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, told) == (0, "")


def read_until(terminal: int, word: str) -> str:
    """Return what a terminal showed up to and with a word; a process that ends before fails the test."""
    seen = ""
    while word not in seen:
        seen += os.read(terminal, 65_536).decode(errors="replace")
    return seen
