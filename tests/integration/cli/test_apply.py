"""Apply runs, holds and executors by the command line, against the running services."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest

from qmtl_foundation.pb.qmtl.apply.v1 import acknowledgement_pb2, apply_service_pb2, executor_pb2, lease_pb2
from qmtl_sdk.local.progress import ProcessStatus, StackStatus
from tests.support.command_line import QMTL, Qmtl
from tests.support.credentials import token_of
from tests.support.desk import POLICY, Asked, Desk, dial, evaluate, make_world
from tests.support.link import link_to
from tests.support.waiting import wait_until

Written = Callable[[str, str], str]

MANUAL = POLICY + "apply: manual\nruns: {freeze_timeout_ms: 60000}\n"


@pytest.fixture
def world(desk: Desk) -> str:
    """Give a paper world with one strategy that its policy would activate, and does not by itself."""
    name = make_world(desk, MANUAL)
    evaluate(desk, Asked(name))
    return name


@pytest.fixture
def stuck(world: str, qmtl_json: Qmtl) -> str:
    """Give that world with the run ``stuck``, which waits for an executor that is not there."""
    qmtl_json("executor", "enrol", world, "absent", "--mode", "live")
    begun = qmtl_json("apply", "start", world, "--run-id", "stuck", "--no-wait")
    assert begun.code == 0
    return world


def test_run_is_begun_followed_to_its_end_shown_and_listed(world: str, qmtl: Qmtl, qmtl_json: Qmtl) -> None:
    started = qmtl("apply", "start", world, "--run-id", "first", "--plan", "ann/Trend=0.5", "--reason", "go live")
    assert (started.code, started.err) == (0, "")
    lines = started.out.splitlines()
    assert "requested by " in lines[0]
    assert lines[0].endswith(": go live")
    assert lines[-1].startswith(f"run first of {world}: completed, epoch ")
    run = qmtl_json("apply", "show", world, "first").document
    assert [(each["strategy_id"], each["weight"], each["executor"]) for each in run["plan"]] == [
        ("ann/Trend", 0.5, "paper")
    ]
    assert (run["phase"], run["timeline"][0]["reason"]) == ("completed", "go live")
    assert qmtl_json("apply", "watch", world, "first").document == run
    assert "first" in [each["run_id"] for each in qmtl_json("apply", "list", world).document["runs"]]
    assert "first" in qmtl("apply", "list", world).out
    assert "ann/Trend 50.0%" in qmtl("apply", "show", world, "first").out


def test_without_a_plan_the_newest_round_is_applied(world: str, qmtl_json: Qmtl) -> None:
    run = qmtl_json("apply", "start", world).document
    assert (run["phase"], [each["strategy_id"] for each in run["plan"]]) == ("completed", ["ann/Trend"])


def test_dry_run_begins_nothing(world: str, qmtl_json: Qmtl) -> None:
    before = qmtl_json("apply", "list", world).document
    assert qmtl_json("apply", "start", world, "--dry-run").document["plan"][0]["strategy_id"] == "ann/Trend"
    assert qmtl_json("apply", "list", world).document == before


def test_run_that_is_not_waited_for_is_watched_later(world: str, qmtl_json: Qmtl) -> None:
    begun = qmtl_json("apply", "start", world, "--run-id", "later", "--no-wait")
    assert begun.code == 0
    assert qmtl_json("apply", "watch", world, "later").document["phase"] == "completed"


def test_plan_file_may_say_that_nothing_trades(world: str, qmtl_json: Qmtl, written: Written) -> None:
    assert qmtl_json("apply", "start", world).code == 0
    nothing = written("plan.yaml", "activations: []\n")
    assert qmtl_json("apply", "start", world, "--plan-file", nothing).document["plan"] == []
    some = written("some.yaml", "activations: [{strategy_id: ann/Trend, weight: 1}]\n")
    assert qmtl_json("apply", "start", world, "--plan-file", some).document["plan"][0]["weight"] == 1.0


def test_frozen_world_refuses_runs_until_it_is_resumed(world: str, qmtl: Qmtl, qmtl_json: Qmtl) -> None:
    qmtl("apply", "start", world)
    assert "open" in qmtl("world", "status", world).out
    frozen = qmtl_json("world", "freeze", world, "--hold", "outage", "--reason", "venue is down").document
    assert frozen["holds"] == ["outage"]
    status = qmtl_json("world", "status", world).document
    assert (status["open"], status["holds"]) == (False, ["outage"])
    assert f"held by outage: `qmtl world resume {world} --hold NAME`" in qmtl("world", "status", world).out
    refused = qmtl_json("apply", "start", world)
    assert (refused.code, refused.error["reason"]) == (1, "WORLD_HELD")
    assert refused.error["metadata"]["holds"] == "outage"
    assert qmtl_json("world", "resume", world).error["reason"] == "HOLD_NOT_FOUND"
    resuming = qmtl_json("world", "resume", world, "--hold", "outage").document
    assert resuming["clears_hold"] == "outage"
    assert qmtl_json("apply", "watch", world, resuming["run_id"]).code == 0
    assert qmtl_json("world", "status", world).document["holds"] == []


def test_interrupted_watch_leaves_the_run_alone(
    stuck: str, qmtl: Qmtl, qmtl_json: Qmtl, environment: dict[str, str]
) -> None:
    watch = (*QMTL, "apply", "watch", stuck, "stuck")
    with subprocess.Popen(watch, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("freezing: awaited"):
                assert "executor absent" in line
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20.0)
    assert process.returncode == 130
    assert f"run stuck of {stuck} goes on: `qmtl apply watch {stuck} stuck`" in told
    status = qmtl_json("world", "status", stuck).document
    assert (status["run_id"], status["open"]) == ("stuck", False)
    assert f"under way: `qmtl apply watch {stuck} stuck`" in qmtl("world", "status", stuck).out


def test_run_that_is_undone_is_told_to_whoever_watches(stuck: str, qmtl: Qmtl, qmtl_json: Qmtl) -> None:
    assert qmtl_json("apply", "start", stuck).error["reason"] == "RUN_IN_PROGRESS"
    undone = qmtl_json("apply", "rollback", stuck, "stuck", "--reason", "second thoughts").document
    assert undone["reason"] == "second thoughts"
    assert "frozen" in qmtl("world", "freeze", stuck).out
    ended = qmtl("apply", "watch", stuck, "stuck")
    assert (ended.code, "rolled_back" in ended.out) == (3, True)


def test_watch_goes_on_where_its_connection_was_cut(
    stuck: str, gateway: str, qmtl_json: Qmtl, environment: dict[str, str]
) -> None:
    with link_to(gateway) as link:
        watch = (*QMTL, "apply", "watch", stuck, "stuck", "--gateway", link.address)
        with subprocess.Popen(watch, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            before = list(iter(process.stdout.readline, "freezing: awaited executor absent\n"))
            link.cut()
            qmtl_json("apply", "rollback", stuck, "stuck", "--reason", "second thoughts")
            qmtl_json("world", "freeze", stuck)
            after = process.communicate(timeout=20.0)[0].splitlines()
    assert (process.returncode, link.accepted) == (3, 2)
    assert "requested by" in before[0]
    assert sum("rollback by " in line for line in after) == 1
    assert not any("requested by" in line for line in after)
    assert after[-1].startswith(f"run stuck of {stuck}: rolled_back")


def test_watch_tells_of_a_renewed_lease_until_it_ends(
    world: str, desk: Desk, stack: StackStatus, parts: dict[str, ProcessStatus], qmtl: Qmtl
) -> None:
    renewal = apply_service_pb2.RenewLeaseRequest(
        kind=acknowledgement_pb2.PARTICIPANT_KIND_GATEWAY, participant="silent", incarnation="1"
    )
    watch = apply_service_pb2.WatchApplyRequest(world=world, run_id="waiting")
    with dial(parts["world"].address, token_of(stack.state_dir)) as service:
        service.applies.RenewLease(renewal)
        assert qmtl("apply", "start", world, "--run-id", "waiting", "--no-wait").code == 0
        states = (each.run for each in desk.applies.WatchApply(watch))
        before = next(run for run in states if [each.name for each in run.awaited] == ["silent"])
        service.applies.RenewLease(renewal)
        after = next(states)
    assert after.revision == before.revision
    assert after.awaited[0].lease_expire_time.ToDatetime() > before.awaited[0].lease_expire_time.ToDatetime()
    assert list(states)[-1].HasField("end_time")


def test_watch_on_a_terminal_shows_who_is_awaited(stuck: str, environment: dict[str, str]) -> None:
    terminal, stdout = pty.openpty()
    watch = (*QMTL, "apply", "watch", stuck, "stuck")
    with subprocess.Popen(watch, env={**environment, "COLUMNS": "120"}, stdout=stdout, stderr=stdout) as process:
        os.close(stdout)
        shown = b""
        while b"executor absent" not in shown or b"deadline" not in shown:
            shown += os.read(terminal, 65_536)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # how a terminal ends whose other side is closed
            while os.read(terminal, 65_536):
                pass
        process.wait(20.0)
    os.close(terminal)
    assert process.returncode == 130
    assert b"requested" in shown


def test_world_says_why_its_newest_round_waits(desk: Desk, qmtl: Qmtl, qmtl_json: Qmtl) -> None:
    name = make_world(desk)
    qmtl("world", "freeze", name)
    evaluate(desk, Asked(name))
    wait_until(lambda: qmtl_json("world", "status", name).document["waits_for"] != "")
    assert "its newest round is not applied: " in qmtl("world", "status", name).out


def test_ended_run_is_not_rolled_back(world: str, qmtl_json: Qmtl) -> None:
    qmtl_json("apply", "start", world, "--run-id", "done")
    refused = qmtl_json("apply", "rollback", world, "done", "--reason", "second thoughts")
    assert (refused.code, refused.error["reason"]) == (1, "RUN_NOT_REVERSIBLE")


def test_world_whose_streams_agree_is_not_reseeded(world: str, qmtl_json: Qmtl) -> None:
    refused = qmtl_json("world", "reseed", world, "--reason", "restored")
    assert (refused.code, refused.error["reason"]) == (1, "HOLD_NOT_FOUND")


def test_executors_are_listed_and_one_that_serves_stays(world: str, qmtl: Qmtl, qmtl_json: Qmtl) -> None:
    qmtl("apply", "start", world)
    [paper] = qmtl_json("executor", "list", world).document["executors"]
    assert (paper["executor"], paper["mode"], paper["positions"]) == ("paper", "paper", [])
    assert "paper" in qmtl("executor", "list", world).out
    refused = qmtl_json("executor", "deregister", world, "paper")
    assert (refused.code, refused.error["reason"]) == (1, "NO_EXECUTOR")


def test_executor_that_leaves_shows_the_position_it_leaves_behind(
    world: str, qmtl: Qmtl, stack: StackStatus, parts: dict[str, ProcessStatus]
) -> None:
    qmtl("executor", "enrol", world, "holder", "--mode", "live")
    position = executor_pb2.ExecutorPosition(strategy_id="ann/Trend", symbol="AAPL", quantity=-12.5)
    renewal = apply_service_pb2.RenewLeaseRequest(
        kind=acknowledgement_pb2.PARTICIPANT_KIND_EXECUTOR,
        participant="holder",
        incarnation="1",
        worlds=[lease_pb2.HeldPlace(world=world, positions=[position])],
    )
    with dial(parts["world"].address, token_of(stack.state_dir)) as service:
        service.applies.RenewLease(renewal)
    assert "ann/Trend AAPL -12.5" in qmtl("executor", "list", world).out
    left = qmtl("executor", "deregister", world, "holder")
    assert left.code == 0
    assert [part in left.out for part in ("holder has left", "ann/Trend", "AAPL", "-12.5")] == [True] * 4


def test_enrolled_executor_leaves_without_a_position(world: str, qmtl: Qmtl, qmtl_json: Qmtl) -> None:
    enrolled = qmtl_json("executor", "enrol", world, "second", "--mode", "live").document
    assert (enrolled["executor"], enrolled["mode"]) == ("second", "live")
    left = qmtl("executor", "deregister", world, "second")
    assert (left.code, "it leaves no position behind" in left.out) == (0, True)
    gone = qmtl_json("executor", "deregister", world, "second")
    assert (gone.code, gone.error["reason"]) == (1, "EXECUTOR_NOT_FOUND")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--plan", "ann/Trend"), "plan"),
        (("--plan", "ann/Trend=much"), "much"),
        (("--plan", "ann/Trend=2"), "weight"),
        (("--plan", "ann/Trend=nan"), "weight"),
        (("--plan", "nobody/Nothing=0.5"), "nobody/Nothing"),
        (("--base", "abc"), "base_state_hash"),
        (("--run-id", "a b"), "run_id"),
        (("--reason", "two\nlines"), "reason"),
        (("--plan-file", "/nowhere/plan.yaml"), "/nowhere/plan.yaml"),
    ],
)
def test_bad_value_is_refused_by_its_name(options: tuple[str, str], told: str, world: str, qmtl_json: Qmtl) -> None:
    before = qmtl_json("apply", "list", world).document
    refused = qmtl_json("apply", "start", world, *options)
    assert refused.code == 1
    assert told in refused.error["message"]
    assert qmtl_json("apply", "list", world).document == before


def test_unknown_run_and_world_are_named(world: str, qmtl_json: Qmtl) -> None:
    assert qmtl_json("apply", "watch", world, "nothing").error["reason"] == "RUN_NOT_FOUND"
    assert qmtl_json("world", "freeze", "no_such_world").error["reason"] == "WORLD_NOT_FOUND"
    assert qmtl_json("executor", "list", "no_such_world").error["reason"] == "WORLD_NOT_FOUND"


def test_mode_without_orders_is_refused(world: str, qmtl_json: Qmtl) -> None:
    refused = qmtl_json("executor", "enrol", world, "second", "--mode", "compute-only")
    assert (refused.code, "mode" in refused.error["message"]) == (1, True)


def test_paper_executor_names_the_setting_that_it_lacks() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QMTL_")}
    ended = subprocess.run((*QMTL, "executor", "paper"), env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "QMTL_POSTGRES_DSN" in ended.stderr
