"""Every method by requests that are valid, nearly valid and hostile: nothing breaks, and a refusal changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from qmtl_sdk.local import postgres
from tests.security.fuzzing import KINDS
from tests.security.matrix import Scene
from tests.security.trial import contents, try_all
from tests.support.contract import METHODS
from tests.support.desk import Desk, at_rest

SHORT = 4
LONG = 60


def test_no_request_breaks_a_service_and_no_refusal_changes_anything(scene: Scene, desk: Desk) -> None:
    dsn = next(each.address for each in scene.stack.processes if each.name == postgres.NAME)

    def watch(at_first: bool) -> Mapping[str, str]:
        if at_first:
            at_rest(desk, scene.world)  # what earlier requests began
        return asyncio.run(contents(dsn))

    tried = try_all(scene, seed=1, each=SHORT, watch=watch, watched=1)
    assert not tried.wrong
    assert tried.requests == SHORT * len(KINDS) * len(METHODS)
    assert tried.statuses["hostile"]["INVALID_ARGUMENT"] > len(METHODS)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [2, 3])
def test_thousands_of_requests_break_nothing(scene: Scene, seed: int) -> None:
    tried = try_all(scene, seed, LONG)
    assert not tried.wrong
    assert tried.requests == LONG * len(KINDS) * len(METHODS)
