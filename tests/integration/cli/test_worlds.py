"""Worlds and policies by the command line, against the running services."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.command_line import POLICY, Qmtl, on_terminal
from tests.support.lossy import lossy_gateway

Written = Callable[[str, str], str]


def test_created_world_is_annualised_by_its_preset(qmtl_json: Qmtl, world_name: str) -> None:
    made = qmtl_json("world", "create", world_name, "--mode", "paper", "--fee-bp", "1.5", "--share-policy", "world")
    assert made.code == 0
    world = made.document
    assert (world["bars_per_year"], world["data_preset"]) == (252.0, "sample_us_equity_1d")
    assert (world["mode"], world["share_policy"], world["execution_model"]["fee_bp"]) == ("paper", "world", 1.5)
    assert qmtl_json("world", "show", world_name).document == world


def test_created_world_has_the_policy_in_force(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    made = qmtl_json("world", "create", world_name, "--policy", written("policy.yaml", POLICY))
    assert made.document["active_policy_version"] == 1
    [policy] = qmtl_json("world", "policy", "list", world_name).document["policies"]
    assert (policy["version"], policy["active"], policy["yaml"]) == (1, True, POLICY)


def test_refused_policy_leaves_no_world(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    bad = written("policy.yaml", POLICY.replace("metrics.sharpe", "metrics.sharp"))
    refused = qmtl_json("world", "create", world_name, "--policy", bad)
    assert refused.code == 1
    assert refused.error["reason"] == "INVALID_POLICY"
    assert qmtl_json("world", "show", world_name).error["reason"] == "WORLD_NOT_FOUND"


def test_policy_whose_answer_is_lost_leaves_no_world(
    qmtl_json: Qmtl, gateway: str, world_name: str, written: Written
) -> None:
    with lossy_gateway(gateway, lost="UploadPolicy") as lossy:
        stated = ("--policy", written("policy.yaml", POLICY), "--gateway", lossy)
        lost = qmtl_json("world", "create", world_name, *stated)
    assert (lost.error["reason"], "lost" in lost.error["message"]) == ("INTERNAL", True)
    assert qmtl_json("world", "show", world_name).error["reason"] == "WORLD_NOT_FOUND"


def test_world_that_cannot_be_deleted_again_is_named_beside_the_cause(
    qmtl_json: Qmtl, gateway: str, world_name: str, written: Written
) -> None:
    with lossy_gateway(gateway, lost="UploadPolicy", refused="DeleteWorld") as lossy:
        stated = ("--policy", written("policy.yaml", POLICY), "--gateway", lossy)
        refused = qmtl_json("world", "create", world_name, *stated)
    assert refused.error["message"].startswith("lost")
    assert f"world '{world_name}' remains" in refused.error["message"]
    assert f"`qmtl world delete {world_name}`" in refused.error["message"]
    assert refused.error["metadata"]["world"] == world_name
    assert qmtl_json("world", "show", world_name).code == 0


def test_update_changes_what_is_stated_and_nothing_else(qmtl_json: Qmtl, world_name: str) -> None:
    before = qmtl_json("world", "create", world_name, "--fill", "close", "--can-short").document
    after = qmtl_json("world", "update", world_name, "--rebalance", "drift", "--drift", "0.05").document
    model = {**before["execution_model"], "rebalance": "drift", "drift": 0.05}
    changed = {"execution_model": model, "etag": after["etag"], "update_time": after["update_time"]}
    assert after == {**before, **changed}
    back = qmtl_json("world", "update", world_name, "--rebalance", "on_change", "--no-can-short").document
    assert back["execution_model"]["drift"] == 0.0
    assert back["execution_model"]["can_short"] is False


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--fee-bp", "-1"), "fee_bp"),
        (("--decision-ttl", "0"), "decision_ttl"),
        (("--decision-ttl", "99999999999"), "decision_ttl"),
        (("--mode", "lively"), "mode"),
        (("--bars-per-year", "-3"), "bars_per_year"),
        (("--preset", "no_such_preset"), "no_such_preset"),
    ],
)
def test_bad_value_is_refused_by_its_name(
    options: tuple[str, str], told: str, qmtl_json: Qmtl, world_name: str
) -> None:
    refused = qmtl_json("world", "create", world_name, *options)
    assert refused.code == 1
    assert told in refused.error["message"]
    assert qmtl_json("world", "show", world_name).error["reason"] == "WORLD_NOT_FOUND"


def test_world_is_made_once(qmtl_json: Qmtl, world_name: str) -> None:
    assert qmtl_json("world", "create", world_name).code == 0
    assert qmtl_json("world", "create", world_name).error["reason"] == "WORLD_EXISTS"


def test_listed_until_deleted(qmtl_json: Qmtl, qmtl: Qmtl, world_name: str) -> None:
    def names() -> list[str]:
        return [world["name"] for world in qmtl_json("world", "list").document["worlds"]]

    qmtl_json("world", "create", world_name)
    assert world_name in names()
    assert world_name in qmtl("world", "list").out
    assert qmtl_json("world", "delete", world_name, "--yes").document == {"deleted": world_name}
    assert world_name not in names()


def test_deletion_without_a_terminal_needs_yes(qmtl_json: Qmtl, world_name: str) -> None:
    qmtl_json("world", "create", world_name)
    refused = qmtl_json("world", "delete", world_name)
    assert (refused.code, refused.error["reason"]) == (2, "USAGE")
    assert "--yes: state it to delete" in refused.error["message"]
    assert qmtl_json("world", "show", world_name).code == 0


@pytest.mark.parametrize(("answer", "code", "told"), [("n\n", 1, "nothing was deleted"), ("y\n", 0, "deleted world_")])
def test_deletion_asks_on_a_terminal(
    answer: str, code: int, told: str, qmtl: Qmtl, world_name: str, environment: dict[str, str]
) -> None:
    qmtl("world", "create", world_name)
    ended = on_terminal(answer, environment, "world", "delete", world_name)
    assert (ended.code, told in ended.out) == (code, True)
    assert f"Delete {world_name}, with its policies and evaluations? [y/N]" in ended.err


@pytest.mark.parametrize("command", ["create", "update"])
def test_unknown_preset_is_refused_however_it_is_annualised(command: str, qmtl_json: Qmtl, world_name: str) -> None:
    if command == "update":
        qmtl_json("world", "create", world_name)
    refused = qmtl_json("world", command, world_name, "--preset", "no_such_preset", "--bars-per-year", "252")
    assert (refused.code, refused.error["reason"]) == (1, "PRESET_NOT_FOUND")


def test_policy_is_checked_uploaded_and_activated(qmtl_json: Qmtl, world_name: str, written: Written) -> None:
    file = written("policy.yaml", POLICY)
    qmtl_json("world", "create", world_name)
    assert qmtl_json("world", "policy", "check", world_name, file).document["valid"] is True
    assert qmtl_json("world", "policy", "list", world_name).document == {"policies": []}
    assert qmtl_json("world", "policy", "upload", world_name, file).document["active"] is False
    assert qmtl_json("world", "policy", "upload", world_name, file, "--activate").document["version"] == 2
    assert qmtl_json("world", "policy", "activate", world_name, "1").document["active"] is True
    listed = qmtl_json("world", "policy", "list", world_name).document["policies"]
    assert [(policy["version"], policy["active"]) for policy in listed] == [(2, False), (1, True)]


def test_bad_policy_names_line_and_field(qmtl: Qmtl, world_name: str, written: Written) -> None:
    qmtl("world", "create", world_name)
    bad = written("policy.yaml", 'gates:\n  - {name: a, rule: "metrics.sharpe > 1"}\nselect: {top_k: 1}\n')
    refused = qmtl("world", "policy", "check", world_name, bad)
    assert refused.code == 1
    assert "2:" in refused.err
    assert "gates[0].rule" in refused.err


def test_allocations_of_a_new_world_are_all_cash(qmtl_json: Qmtl, qmtl: Qmtl, world_name: str) -> None:
    qmtl("world", "create", world_name)
    allocations = qmtl_json("world", "allocations", world_name).document
    assert (allocations["cash"], allocations["strategies"]) == (1.0, [])
    assert "100.0%" in qmtl("world", "allocations", world_name).out


def test_dead_gateway_is_named_within_seconds(qmtl_json: Qmtl) -> None:
    refused = qmtl_json("world", "list", "--gateway", "127.0.0.1:1")
    assert refused.code == 4
    assert refused.error["metadata"] == {"dependency": "gateway", "address": "127.0.0.1:1"}
