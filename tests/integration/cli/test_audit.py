"""The audit by the command line: who did what and why, and that what was changed behind its back is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from qmtl_foundation.audit import CUT
from qmtl_sdk.local.progress import ProcessStatus
from tests.support.command_line import POLICY, Qmtl

Written = Callable[[str, str], str]
Tampering = Callable[..., None]

CHANGED = "changed: the hash is not that of the content"


@pytest.fixture
def tamper(parts: dict[str, ProcessStatus]) -> Tampering:
    """Give a function that runs SQL as one who owns the database, with its triggers off."""

    async def run(statement: str, *arguments: Any) -> None:
        connection = await asyncpg.connect(parts["postgres"].address)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    return lambda statement, *arguments: asyncio.run(run(statement, *arguments))


@pytest.fixture
def told(qmtl_json: Qmtl, world_name: str, written: Written) -> str:
    """Give a world that was made, judged, changed, frozen and deleted."""
    policy = written("policy.yaml", POLICY)
    for command in (
        ("world", "create", world_name, "--mode", "paper", "--share-policy", "world", "--reason", "new desk"),
        ("world", "policy", "upload", world_name, policy, "--activate", "--reason", "as agreed"),
        ("world", "update", world_name, "--fee-bp", "2.5", "--reason", "new broker"),
        ("world", "freeze", world_name, "--reason", "drill"),
        ("world", "delete", world_name, "--yes", "--reason", "moved"),
    ):
        assert qmtl_json(*command).code == 0, command
    return world_name


def test_each_change_is_noted_with_its_actor_and_reason(qmtl_json: Qmtl, qmtl: Qmtl, told: str) -> None:
    entries = qmtl_json("audit", "list", told).document["entries"][::-1]
    noted = [(each["event"], each["reason"]) for each in entries]
    for each in (
        ("world_created", "new desk"),
        ("policy_uploaded", "as agreed"),
        ("policy_activated", "as agreed"),
        ("world_changed", "new broker"),
        ("stopped", "drill"),
        ("world_deleted", "moved"),
    ):
        assert each in noted
    assert noted[-1] == ("world_deleted", "moved")
    assert [each["number"] for each in entries] == list(range(1, len(entries) + 1))
    details = {each["event"]: each["detail"] for each in entries}
    assert details["world_changed"] == "execution_model.fee_bp: 0.0 -> 2.5"
    assert details["policy_activated"] == "version: 0 -> 1"
    assert "mode: paper" in details["world_created"]
    assert details["enrolled"] == "executor: paper, mode: paper"
    assert details["stopped"] == "hold: operator"
    actors = {each["actor"] for each in entries if each["event"].startswith(("world", "policy"))}
    assert len(actors) == 1
    assert actors.pop() in qmtl("audit", "list", told, "--limit", "3").out


def test_a_whole_audit_is_verified_and_its_end_told(qmtl_json: Qmtl, qmtl: Qmtl, told: str, tmp_path: Path) -> None:
    answer = qmtl_json("audit", "verify", told)
    [world] = answer.document["worlds"]
    newest = qmtl_json("audit", "list", told, "--limit", "1").document["entries"][0]
    assert answer.code == 0
    assert (world["number"], world["hash"], world["faults"]) == (newest["number"], newest["hash"], [])
    everything = qmtl_json("audit", "verify")
    assert told in {each["world"] for each in everything.document["worlds"]}
    noted = tmp_path / "noted.json"
    noted.write_text(answer.out, encoding="utf-8")
    assert qmtl("audit", "verify", told, "--since", str(noted)).code == 0


def test_a_changed_entry_is_named(qmtl_json: Qmtl, qmtl: Qmtl, told: str, tamper: Tampering) -> None:
    tamper("UPDATE world.audit SET actor = 'nobody' WHERE world = $1 AND event = 'stopped'", told)
    answer = qmtl_json("audit", "verify", told)
    [world] = answer.document["worlds"]
    stopped = next(
        each["number"] for each in qmtl_json("audit", "list", told).document["entries"] if each["event"] == "stopped"
    )
    assert answer.code == 3
    assert world["faults"] == [{"first": stopped, "last": stopped, "what": CHANGED}]
    assert f"{told}: entry {stopped}: {CHANGED}" in qmtl("audit", "verify", told).out


def test_missing_entries_are_named(qmtl_json: Qmtl, qmtl: Qmtl, told: str, tamper: Tampering) -> None:
    [world] = qmtl_json("audit", "verify", told).document["worlds"]
    last = world["number"]
    tamper("DELETE FROM world.audit WHERE world = $1 AND number IN (2, $2)", told, last)
    answer = qmtl_json("audit", "verify", told)
    assert answer.code == 3
    faults = answer.document["worlds"][0]["faults"]
    assert [(each["first"], each["last"], each["what"]) for each in faults] == [
        (last, last, "missing"), (2, 2, "missing"),
    ]  # fmt: skip


def test_what_was_noted_before_a_fault_stays_what_is_noted(
    qmtl_json: Qmtl, told: str, tamper: Tampering, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(qmtl_json("audit", "verify", told).out, encoding="utf-8")
    [before] = qmtl_json("audit", "verify", told).document["worlds"]
    tamper("DELETE FROM world.audit WHERE world = $1 AND number = $2", told, before["number"])
    tamper("UPDATE world.audit_head h SET (number, hash) = (SELECT number, hash FROM world.audit a WHERE a.world = "
           "h.world ORDER BY number DESC LIMIT 1) WHERE world = $1", told)  # fmt: skip
    assert qmtl_json("audit", "verify", told).code == 0  # cut at its end, with nothing to compare with
    found = qmtl_json("audit", "verify", told, "--since", str(first))
    assert found.code == 3
    assert found.document["worlds"][0]["noted"] == before["noted"]
    second.write_text(found.out, encoding="utf-8")
    assert qmtl_json("audit", "verify", told, "--since", str(second)).code == 3


@pytest.mark.parametrize("named", [True, False])
def test_an_audit_that_was_taken_away_whole_is_found_by_what_was_noted(
    qmtl_json: Qmtl, told: str, tamper: Tampering, tmp_path: Path, named: bool
) -> None:
    noted = tmp_path / "noted.json"
    noted.write_text(qmtl_json("audit", "verify", told).out, encoding="utf-8")
    tamper("DELETE FROM world.audit WHERE world = $1", told)
    tamper("DELETE FROM world.audit_head WHERE world = $1", told)
    assert qmtl_json("audit", "verify", told).error["reason"] == "WORLD_NOT_FOUND"
    for _ in range(2):  # and again by what that found
        answer = qmtl_json("audit", "verify", *([told] if named else []), "--since", str(noted))
        [gone] = [each for each in answer.document["worlds"] if each["world"] == told]
        assert answer.code == 3
        assert gone["faults"][0]["what"] == CUT
        noted.write_text(answer.out, encoding="utf-8")


def test_a_world_of_which_nothing_was_noted_is_refused(
    qmtl_json: Qmtl, told: str, world_name: str, written: Written
) -> None:
    noted = written("noted.json", '{"worlds": []}')
    refused = qmtl_json("audit", "verify", told, "--since", noted)
    assert (refused.code, refused.error["reason"]) == (1, "INVALID_FIELD")
    assert "notes nothing of world" in refused.error["message"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"worlds": [{}]}', '{"worlds": [{"world": "x", "noted": {"number": -3, "hash": "x"}}]}']
)
def test_what_no_verification_wrote_is_refused(qmtl_json: Qmtl, told: str, written: Written, text: str) -> None:
    refused = qmtl_json("audit", "verify", told, "--since", written("noted.json", text))
    assert (refused.code, refused.error["reason"]) == (1, "INVALID_FIELD")
    assert "since" in refused.error["message"]


def test_a_reason_of_two_lines_is_refused(qmtl_json: Qmtl, world_name: str) -> None:
    refused = qmtl_json("world", "create", world_name, "--reason", "one\ntwo")
    assert (refused.code, refused.error["reason"]) == (1, "INVALID_FIELD")
    assert refused.error["message"].startswith("reason:")
