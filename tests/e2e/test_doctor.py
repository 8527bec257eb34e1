"""``qmtl doctor`` on a running stack: all is well, then PostgreSQL, NATS and the token are not, each by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qmtl_sdk.local.progress import StackStatus
from tests.support.command_line import Ended, Qmtl
from tests.support.credentials import issuer_of, token_of
from tests.support.striking import kill, stopped
from tests.support.waiting import wait_until


def findings(ended: Ended) -> dict[str, Any]:
    return {each["what"]: each for each in ended.document["findings"]}


def verdicts(ended: Ended) -> dict[str, str]:
    return {what: each["verdict"] for what, each in findings(ended).items()}


def test_a_stack_that_is_whole_has_no_fault(qmtl: Qmtl) -> None:
    ended = qmtl("doctor")
    found = verdicts(ended)
    assert ended.code == 0
    assert set(found.values()) == {"ok"}
    assert {"connection", "token", "PostgreSQL", "NATS", "gateway", "world service", "DAG manager"} < set(found)
    assert {"local postgres", "local nats", "local executor"} < set(found)


@pytest.mark.parametrize(("name", "known"), [("postgres", "PostgreSQL"), ("nats", "NATS")])
def test_a_server_that_is_down_is_named_with_its_mend(
    stack: StackStatus, qmtl: Qmtl, name: str, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(stack, name)
    wait_until(lambda: verdicts(qmtl("doctor"))[known] == "fault")
    ended = qmtl("doctor")
    found = findings(ended)
    assert ended.code == 4
    assert found[f"local {name}"]["verdict"] == "fault"
    assert found[f"local {name}"]["mend"] == "`qmtl up` starts it"
    assert found[known]["mend"].startswith(f"start {known}")
    assert (found["connection"]["verdict"], found["token"]["verdict"]) == ("ok", "ok")
    monkeypatch.setenv("QMTL_GATEWAY", stack.gateway_address)  # as one who has not the stack's files
    monkeypatch.setenv("QMTL_STATE_DIR", "/nowhere")
    monkeypatch.setenv("QMTL_TOKEN", token_of(stack.state_dir))
    far = verdicts(qmtl("doctor"))
    assert f"local {name}" not in far
    assert far[known] == "fault"


def test_a_service_that_is_not_ready_says_what_it_waits_for(stack: StackStatus, qmtl: Qmtl) -> None:
    kill(stack, "postgres")
    wait_until(lambda: "not ready without postgres" in findings(qmtl("doctor"))["local world"]["says"])
    mend = findings(qmtl("doctor"))["world service"]["mend"]
    assert mend == "start PostgreSQL, or mend the way to it"


@pytest.mark.parametrize(("name", "known"), [("executor", ""), ("world", "world service"), ("dagmgr", "DAG manager")])
def test_a_process_that_stands_still_is_named(stack: StackStatus, qmtl: Qmtl, name: str, known: str) -> None:
    with stopped(stack, name):
        found = findings(qmtl("doctor"))
    assert (found[f"local {name}"]["verdict"], found[f"local {name}"]["says"]) == ("fault", "runs, and is not ready")
    assert found["gateway"]["verdict"] == "ok"
    if known:
        assert found[known]["verdict"] == "fault"
        assert "stands still" in found[known]["mend"]


def test_each_of_several_gateways_is_looked_at(stack: StackStatus, qmtl: Qmtl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_GATEWAY", f"{stack.gateway_address},127.0.0.1:1")
    found = verdicts(qmtl("doctor"))
    assert found[f"connection ({stack.gateway_address})"] == "ok"
    assert found["connection (127.0.0.1:1)"] == "fault"


def test_a_token_that_cannot_be_sent_is_named(qmtl: Qmtl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_TOKEN", "two\nlines")
    ended = qmtl("doctor")
    assert ended.code == 4
    assert ("token", "fault") in verdicts(ended).items()


def test_an_expired_token_is_named_by_itself_and_by_who_refuses_it(
    stack: StackStatus, qmtl: Qmtl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMTL_TOKEN", issuer_of(stack.state_dir).token("ana", ["admin"], -7_200))
    ended = qmtl("doctor")
    found = findings(ended)
    assert ended.code == 4
    assert found["token"]["says"].startswith("of ana, ended at ")
    assert found["token"]["says"].endswith(" 2 h ago")
    for service in ("gateway", "world service", "DAG manager"):
        assert (found[service]["verdict"], found[service]["mend"]) == ("fault", "take a new one from its issuer")


def test_no_gateway_at_all_is_named(qmtl: Qmtl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_STATE_DIR", str(tmp_path))
    ended = qmtl("doctor")
    assert (ended.code, list(verdicts(ended).items())) == (4, [("gateway's address", "fault")])


def test_a_gateway_of_this_machine_that_is_not_the_stack_s_is_looked_at_alone(
    stack: StackStatus, qmtl: Qmtl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMTL_GATEWAY", stack.gateway_address)
    monkeypatch.setenv("QMTL_TOKEN", token_of(stack.state_dir))
    monkeypatch.setenv("QMTL_STATE_DIR", str(tmp_path))
    ended = qmtl("doctor")
    assert (ended.code, [what for what in verdicts(ended) if what.startswith("local")]) == (0, [])
