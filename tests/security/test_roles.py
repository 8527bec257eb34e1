"""Each role at each method, and each kind of bad token at each method, on a running stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from qmtl_foundation.auth.caller import Role
from qmtl_foundation.rpc.access import access_of
from tests.security.callers import CALLERS, bad_tokens
from tests.security.document import ROLES, shown
from tests.security.matrix import LET_IN, Scene, outcome, table, tried
from tests.security.methods import ask, server_of
from tests.security.scene import state_of
from tests.support.contract import METHODS
from tests.support.credentials import issuer_of
from tests.support.desk import Desk

# What each caller is worth, said once more and apart from the services' own rules.
HELD = {
    "no role": set(),
    "owner elsewhere": set(),
    "reader": {Role.READER},
    "another author": {Role.READER},
    "author": {Role.READER, Role.AUTHOR},
    "operator": {Role.READER, Role.AUTHOR, Role.OPERATOR},
    "owner": {Role.READER, Role.AUTHOR, Role.OPERATOR, Role.OWNER},
    "admin": {Role.READER, Role.AUTHOR, Role.OPERATOR, Role.OWNER, Role.ADMIN},
    "gateway": {Role.READER, Role.SERVICE},
    "executor": {Role.READER, Role.SERVICE},
}

# Data is every world's: who may submit somewhere may say that it was read.
OF_SOME_WORLD = {"RegisterSnapshot": set(HELD) - {"no role", "reader", "gateway", "executor"}}
# What is a gateway's part alone; a lease is each one's own, and its request says whose.
OF_GATEWAYS = {"BindStrategy", "Diff"}


def _may(method: str, role: Role, title: str) -> bool:
    if method in OF_SOME_WORLD:
        return title in OF_SOME_WORLD[method]
    if method in OF_GATEWAYS and title != "gateway":
        return False
    return role is Role.CALLER or role in HELD[title]


def test_every_role_is_let_in_where_the_contract_says_and_nowhere_else(scene: Scene) -> None:
    found = tried(scene)
    wrong = []
    for method in METHODS:
        role = access_of(method).role
        for who in CALLERS:
            may = _may(method.name, role, who.title)
            status = found[method.full_name, who.title]
            if (outcome(status) == LET_IN) != may:
                wrong.append(f"{method.full_name} for {who.title}: {status.name}")
    assert not wrong
    assert shown(ROLES) == table(found), "`python -m tests.security` writes the table anew"


def test_who_is_refused_changes_nothing(scene: Scene, desk: Desk) -> None:
    before = state_of(desk, scene.world)
    strangers = tuple(who for who in CALLERS if who.title in ("no role", "owner elsewhere"))
    found = tried(scene, strangers)
    refused = [each for each in found.values() if each is grpc.StatusCode.PERMISSION_DENIED]
    assert len(refused) > len(METHODS)
    assert state_of(desk, scene.world) == before


@pytest.fixture
def channels(scene: Scene) -> Iterator[dict[str, grpc.Channel]]:
    """Give a channel to each process that answers."""
    addresses = {each.name: each.address for each in scene.stack.processes}
    opened = {name: grpc.insecure_channel(addresses[name]) for name in ("world", "dagmgr", "gateway")}
    yield opened
    for each in opened.values():
        each.close()


def test_a_bad_token_is_let_in_nowhere_and_changes_nothing(
    scene: Scene, desk: Desk, channels: dict[str, grpc.Channel], tmp_path: Path
) -> None:
    before = state_of(desk, scene.world)
    tokens = bad_tokens(issuer_of(scene.stack.state_dir), tmp_path / "foreign")
    wrong = []
    for what, token in tokens.items():
        for method in METHODS:
            for name in {server_of(method), "gateway"}:
                status = ask(channels[name], method, scene.request(method), token)
                if status is not grpc.StatusCode.UNAUTHENTICATED:
                    wrong.append(f"{method.full_name} at {name}, token {what}: {status.name}")
    assert not wrong
    assert state_of(desk, scene.world) == before


def test_methods_of_services_are_not_at_the_gateway_not_even_for_services(
    scene: Scene, channels: dict[str, grpc.Channel]
) -> None:
    issuer = issuer_of(scene.stack.state_dir)
    internal = [method for method in METHODS if access_of(method).role is Role.SERVICE]
    assert internal
    for method in internal:
        for who in CALLERS:
            status = ask(channels["gateway"], method, scene.request(method), who.token(issuer, scene.world))
            assert status is grpc.StatusCode.UNIMPLEMENTED


def test_through_the_gateway_each_role_is_worth_the_same(scene: Scene, channels: dict[str, grpc.Channel]) -> None:
    issuer = issuer_of(scene.stack.state_dir)
    for who in CALLERS:
        for method in METHODS:
            role = access_of(method).role
            if role is Role.SERVICE or _may(method.name, role, who.title):
                continue
            status = ask(channels["gateway"], method, scene.request(method), who.token(issuer, scene.world))
            assert status is grpc.StatusCode.PERMISSION_DENIED, (who.title, method.full_name)
