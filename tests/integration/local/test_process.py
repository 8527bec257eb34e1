"""Processes that outlive their starter, known by their record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.local.process import Child, Command, describe_end, launch, log_tail, recall, stop
from qmtl_sdk.local.service import healthy
from tests.support.beside import free_port
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

GRACE_SECONDS = 5.0
HEALTH_SERVER = str(ROOT / "tests" / "support" / "health_server.py")
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"


STARTS_BESIDE_CALLS = """
import os, subprocess, sys
from qmtl_sdk.local.process import Account, by
from qmtl_sdk.local.service import healthy
account = Account(os.geteuid(), os.getegid(), "self") if os.geteuid() == 0 else None
for _ in range(300):
    assert healthy(sys.argv[1])
    subprocess.run(by(account, ("/bin/true",)), check=True)
"""


def start(folder: Path, *argv: str) -> Child:
    return launch(Command(argv, {}, folder, folder / "log"), folder / "record")


def python(folder: Path, code: str) -> Child:
    return start(folder, sys.executable, "-c", code)


def test_record_tells_of_the_process_itself(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    assert child.alive
    assert recall(tmp_path / "record") == child
    assert psutil.Process(child.pid).cmdline() == ["/bin/sleep", "60"]
    assert stop(child, signal.SIGTERM, GRACE_SECONDS) is False
    assert not child.alive


def test_process_is_no_child_of_its_starter(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    assert child.pid not in {each.pid for each in psutil.Process().children(recursive=True)}
    assert os.getsid(child.pid) != os.getsid(0)
    stop(child, signal.SIGTERM, GRACE_SECONDS)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"boot\n1 (x) S " + b"? " * 20 + b"\n"])
def test_process_of_a_damaged_record_is_found_while_it_runs(tmp_path: Path, damage: bytes) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    (tmp_path / "record").write_bytes(damage)
    assert recall(tmp_path / "record") == child
    stop(child, signal.SIGTERM, GRACE_SECONDS)
    wait_until(lambda: recall(tmp_path / "record") is None)


def test_damaged_exit_note_leaves_the_process_known(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    with (tmp_path / "record").open("ab") as record:
        record.write(b"\xff\xfe\n")
    assert recall(tmp_path / "record") == child
    stop(child, signal.SIGTERM, GRACE_SECONDS)


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("exit 0", "exited with code 0"),
        ("exit 3", "exited with code 3"),
        ("exit 250", "exited with code 250"),
        ("kill -9 $$", "was killed by SIGKILL"),
        ("kill -11 $$", "was killed by SIGSEGV"),
    ],
)
def test_end_is_told_by_code_or_signal(tmp_path: Path, script: str, end: str) -> None:
    child = start(tmp_path, "/bin/sh", "-c", script)
    wait_until(lambda: not child.alive)
    assert describe_end(tmp_path / "record") == end


def test_end_together_with_the_keeper_is_told_as_unseen(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    os.killpg(os.getpgid(child.pid), signal.SIGKILL)
    wait_until(lambda: not child.alive)
    assert describe_end(tmp_path / "record").startswith("ended unseen")


def test_stranger_under_the_same_pid_is_not_taken_for_the_process(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    stranger = Child(child.pid, child.keeper_pid, child.boot_id, child.start_ticks - 1, None)
    other_boot = Child(child.pid, child.keeper_pid, "an-earlier-boot", child.start_ticks, None)
    assert not stranger.alive
    assert not other_boot.alive
    assert stop(stranger, signal.SIGKILL, GRACE_SECONDS) is False
    assert child.alive
    stop(child, signal.SIGTERM, GRACE_SECONDS)


def test_process_deaf_to_the_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = python(tmp_path, STUBBORN)
    wait_until(lambda: log_tail(tmp_path / "log", 1) == ("deaf",))
    assert stop(child, signal.SIGTERM, 0.05) is True
    assert describe_end(tmp_path / "record") == "was killed by SIGKILL"


def test_stopped_process_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sleep", "60")
    os.kill(child.pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
    assert stop(child, signal.SIGTERM, 0.05) is True
    assert not child.alive


def test_output_goes_to_the_log_and_its_tail_is_read(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sh", "-c", "echo one; echo two >&2; echo three")
    wait_until(lambda: not child.alive)
    assert log_tail(tmp_path / "log", 2) == ("two", "three")
    assert log_tail(tmp_path / "absent", 2) == ()


def test_program_that_is_not_there_is_told_by_its_end(tmp_path: Path) -> None:
    child = start(tmp_path, "/no/such/program")
    wait_until(lambda: not child.alive)
    assert describe_end(tmp_path / "record") == "exited with code 127"


def test_torn_record_is_no_process(tmp_path: Path) -> None:
    (tmp_path / "record").write_text("boot\n12 (sh) R 1 2")
    assert recall(tmp_path / "record") is None
    assert recall(tmp_path / "absent") is None
    assert describe_end(tmp_path / "absent") == "was never started"


def test_directory_that_is_gone_refuses_the_start(tmp_path: Path) -> None:
    command = Command(("/bin/true",), {}, tmp_path / "gone", tmp_path / "log")
    with pytest.raises(QmtlError, match="gone") as refused:
        launch(command, tmp_path / "record")
    assert refused.value.reason is Reason.DEPENDENCY_UNAVAILABLE


def test_programs_start_between_calls_of_grpc_as_another_account_too(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = Command((sys.executable, HEALTH_SERVER), {"QMTL_LISTEN": address}, tmp_path, tmp_path / "log")
    server = launch(command, tmp_path / "record")
    try:
        wait_until(lambda: healthy(address))
        subprocess.run((sys.executable, "-c", STARTS_BESIDE_CALLS, address), cwd=ROOT, timeout=30, check=True)
    finally:
        stop(server, signal.SIGTERM, GRACE_SECONDS)
