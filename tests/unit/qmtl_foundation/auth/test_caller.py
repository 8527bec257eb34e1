"""What permissions make of a caller: the least that they grant, and what it may do then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation.auth.caller import OF_A_WORLD, Caller, Role, permitted
from qmtl_foundation.errors import QmtlError, Reason


def refused(caller: Caller, needed: Role, world: str) -> bool:
    try:
        caller.check_world(needed, world)
    except QmtlError as error:
        return error.reason is Reason.PERMISSION_DENIED and error.metadata["needed"] == needed.text
    return False


@pytest.mark.parametrize("held", OF_A_WORLD.values(), ids=lambda role: role.text)
@pytest.mark.parametrize("needed", OF_A_WORLD.values(), ids=lambda role: role.text)
def test_a_role_of_a_world_has_those_below_it_in_that_world_only(held: Role, needed: Role) -> None:
    caller = permitted("ann", [f"equity:{held.text}"])
    assert refused(caller, needed, "equity") == (held < needed)
    assert refused(caller, needed, "crypto")
    assert refused(caller, needed, "*")
    assert refused(caller, needed, "")


def test_a_role_everywhere_is_least_and_one_of_a_world_goes_beyond() -> None:
    caller = permitted("ann", ["*:reader", "equity:operator"])
    assert (caller.role_in("crypto"), caller.role_in("equity")) == (Role.READER, Role.OPERATOR)
    assert caller.readable is None


def test_a_role_in_some_world_is_one_of_a_world_or_of_all() -> None:
    for permissions in (["w:author"], ["*:operator"], ["v:reader", "w:author"], ["admin"]):
        permitted("ann", permissions).check_some_world(Role.AUTHOR)
    for permissions in ([], ["w:reader", "v:reader"], ["*:reader"], ["service:gateway"]):
        with pytest.raises(QmtlError) as caught:
            permitted("ann", permissions).check_some_world(Role.AUTHOR)
        assert caught.value.reason is Reason.PERMISSION_DENIED
    permitted("gateway", ["service:gateway"]).check_some_world(Role.READER)


def test_a_refusal_repeats_no_more_of_a_name_than_a_person_reads() -> None:
    caller, long = permitted("ann", ["*:author"]), "w" * 70_000
    for refuse in (
        lambda: caller.check_world(Role.OWNER, long),
        lambda: caller.check_strategy(long, long),
    ):
        with pytest.raises(QmtlError) as caught:
            refuse()
        assert len(caught.value.message) < 1_000
        assert all(len(value) <= 80 for value in caught.value.metadata.values())


def test_of_two_roles_in_a_world_the_higher_counts() -> None:
    assert permitted("ann", ["w:owner", "w:reader"]).role_in("w") is Role.OWNER


def test_without_permissions_a_caller_is_known_and_no_more() -> None:
    caller = permitted("ann", [])
    caller.check_installation(Role.CALLER)
    for needed in (Role.ADMIN, Role.SERVICE, Role.UNSPECIFIED):
        with pytest.raises(QmtlError) as caught:
            caller.check_installation(needed)
        assert caught.value.reason is Reason.PERMISSION_DENIED
    assert caller.readable == frozenset()
    assert refused(caller, Role.READER, "w")


def test_an_administrator_owns_every_world_and_is_no_service() -> None:
    caller = permitted("ann", ["admin"])
    caller.check_installation(Role.ADMIN)
    caller.check_world(Role.OWNER, "any")
    caller.check_strategy("any", "bob/Trend")
    with pytest.raises(QmtlError):
        caller.check_installation(Role.SERVICE)


def test_a_service_reads_every_world_and_changes_none() -> None:
    caller = permitted("gateway", ["service:gateway"])
    caller.check_installation(Role.SERVICE)
    caller.check_service("gateway")
    with pytest.raises(QmtlError):
        caller.check_service("executor")
    assert not refused(caller, Role.READER, "any")
    assert refused(caller, Role.AUTHOR, "any")
    with pytest.raises(QmtlError):
        caller.check_installation(Role.ADMIN)


def test_an_author_acts_on_strategies_of_its_own_and_an_operator_on_all() -> None:
    author, operator = permitted("ann", ["w:author"]), permitted("bob", ["w:operator"])
    for own in ("ann/Trend", "ann"):
        author.check_strategy("w", own)
    for foreign in ("bob/Trend", "annie/Trend", "ANN/Trend", "/Trend", "", "bob/ann"):
        with pytest.raises(QmtlError) as caught:
            author.check_strategy("w", foreign)
        assert caught.value.metadata["needed"] == "operator"
    operator.check_strategy("w", "ann/Trend")


@pytest.mark.parametrize(
    "stated",
    [
        "service",
        "service:",
        "service:world",
        "service:Gateway",
        "equity",
        ":owner",
        "equity:",
        "equity:admin",
        "equity:service",
        "equity:Owner",
        "read:w",
        "Admin",
        "*",
        "",
    ],
)
def test_what_is_no_permission_of_ours_grants_nothing(stated: str) -> None:
    assert permitted("ann", [stated]) == Caller("ann")


@given(st.lists(st.text(max_size=20), max_size=10))
def test_whatever_a_token_states_makes_a_caller(stated: list[str]) -> None:
    caller = permitted("ann", stated)
    assert caller.is_admin == ("admin" in stated)
    assert caller.is_service == bool({"service:gateway", "service:executor"} & set(stated))
