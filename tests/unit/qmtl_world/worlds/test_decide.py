"""The decision: nothing without a policy, a new version is validated, only the active one does as the world says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_world.worlds.model import Binding, BoundDataset, World, WorldSpec, check_etag, decide

NOW = datetime(2026, 11, 23, tzinfo=UTC)
AS_OF = "2013-03-01T21:00:00Z"
SPEC = WorldSpec("equity", "daily", 252.0, mode=EffectiveMode.PAPER, decision_ttl_s=60)
WORLD = World(SPEC, 1, 1, NOW, NOW)
BINDING = Binding("equity", "ann/Trend", "v2", "s", BoundDataset("daily", AS_OF, "d", AS_OF, NOW, 1.0, 0))


@pytest.mark.parametrize(
    ("policy", "active", "mode"),
    [
        (0, None, EffectiveMode.COMPUTE_ONLY),
        (0, "v2", EffectiveMode.COMPUTE_ONLY),
        (1, None, EffectiveMode.VALIDATE),
        (1, "v1", EffectiveMode.VALIDATE),
        (1, "v2", EffectiveMode.PAPER),
    ],
)
def test_only_the_active_version_does_what_the_world_is_set_to(
    policy: int, active: str | None, mode: EffectiveMode
) -> None:
    decision = decide(replace(WORLD, active_policy_version=policy), BINDING, active, NOW)
    assert (decision.effective_mode, decision.policy_version, decision.as_of) == (mode, policy, AS_OF)
    assert decision.expire_time == NOW + timedelta(seconds=60)
    assert decision.reason


def test_the_etag_follows_what_is_decided_and_not_when() -> None:
    decision = decide(WORLD, BINDING, "v2", NOW)
    assert decide(WORLD, BINDING, "v2", NOW + timedelta(hours=1)).etag == decision.etag
    others = {
        decide(WORLD, BINDING, None, NOW).etag,
        decide(replace(WORLD, active_policy_version=2), BINDING, "v2", NOW).etag,
        decide(replace(WORLD, spec=replace(SPEC, allow_live=True)), BINDING, "v2", NOW).etag,
        decide(WORLD, replace(BINDING, strategy_id="bob/Trend"), "v2", NOW).etag,
    }
    assert len({decision.etag, *others}) == 5


def test_the_etag_of_a_world_follows_its_revision() -> None:
    assert WORLD.etag != replace(WORLD, revision=2).etag
    check_etag(WORLD.etag, WORLD.etag)
    with pytest.raises(QmtlError) as caught:
        check_etag("old", WORLD.etag)
    assert caught.value.reason is Reason.STALE_ETAG


@pytest.mark.parametrize("mode", [EffectiveMode.SHADOW, EffectiveMode.VALIDATE])
def test_a_world_is_not_set_to_what_only_strategies_or_operators_reach(mode: EffectiveMode) -> None:
    with pytest.raises(QmtlError, match=r"world\.mode"):
        replace(SPEC, mode=mode)
