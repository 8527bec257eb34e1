"""A trial of every method by made-up requests: what came of them, and whether anything broke or moved that must not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import grpc

from qmtl_sdk.local.progress import Health
from qmtl_sdk.local.stack import status
from tests.security.fuzzing import KINDS, Known, fuzzed
from tests.security.matrix import Scene
from tests.security.methods import ask, server_of
from tests.support.contract import METHODS
from tests.support.credentials import token_of

# Statuses that say that QMTL itself failed.
BROKEN: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})
# What changes by itself: leases, what was relayed, places of executors.
_MOVING: Final = {
    "participant",
    "enrolment",
    "outbox",
    "acknowledgement",
    "line",
    "intent",
    "report",
    "place",
    "relayed",
}
_TABLES: Final = """
SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('world', 'dagmgr', 'gateway') ORDER BY 1, 2
"""


@dataclass(slots=True)
class Tried:
    """Count statuses by kind of request, and tell what was wrong."""

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Return how many requests were made."""
        return sum(sum(counts.values()) for counts in self.statuses.values())


async def contents(dsn: str) -> Mapping[str, str]:
    """Return a digest of each table that nothing changes by itself."""
    connection = await asyncpg.connect(dsn)
    try:
        found = {}
        for row in await connection.fetch(_TABLES):
            name = f"{row['schemaname']}.{row['tablename']}"
            if row["tablename"] not in _MOVING:
                query = f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {name} t"  # noqa: S608  # as the catalogue names it
                found[name] = await connection.fetchval(query)
        return found
    finally:
        await connection.close()


def try_all(
    scene: Scene, seed: int, each: int, watch: Callable[[bool], Mapping[str, str]] | None = None, watched: int = 0
) -> Tried:
    """Send so many requests of each kind to each method, by the seed.

    Of every method the first ``watched`` are looked at closely: ``watch`` must tell the same after a refusal as
    before, when it waits until nothing moves by itself.
    """
    tried, chance = Tried(), random.Random(seed)  # noqa: S311  # a schedule is no secret
    known = Known(
        {
            "world": scene.world,
            "name": "fuzzed",
            "strategy_id": scene.strategy,
            "author": scene.strategy.partition("/")[0],
            "submission_id": scene.submission,
            "run_id": "fuzzed",
            "request_id": "fuzzed",
            "mode": "paper",
        }
    )
    token = token_of(scene.stack.state_dir)
    with _channels(scene) as channels:
        for method in METHODS:
            for kind in KINDS:
                for number in range(each):
                    content = fuzzed(method, kind, chance, known)
                    before = watch(True) if watch is not None and number < watched else None
                    code = ask(channels[server_of(method)], method, content, token)
                    tried.statuses[kind][code.name] += 1
                    if code in BROKEN:
                        tried.wrong.append(f"{method.full_name}, {kind}: {code.name} for {content[:200]!r}")
                    if before is not None and code is not grpc.StatusCode.OK and watch is not None:
                        moved = {name for name, digest in watch(False).items() if before.get(name) != digest}
                        if moved:
                            tried.wrong.append(f"{method.full_name}, {kind}: {code.name} changed {sorted(moved)}")
    _check_alive(scene, tried)
    return tried


@contextmanager
def _channels(scene: Scene) -> Iterator[dict[str, Any]]:
    addresses = {each.name: each.address for each in scene.stack.processes}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(grpc.insecure_channel(addresses[name])) for name in ("world", "dagmgr", "gateway")
        }


def _check_alive(scene: Scene, tried: Tried) -> None:
    """Note each process that is not the one that it was, or not well."""
    pids = {each.name: each.pid for each in scene.stack.processes}
    for each in status(scene.stack.state_dir).processes:
        if each.health is not Health.HEALTHY or each.pid != pids[each.name]:
            tried.wrong.append(f"{each.name} is {each.health} as pid {each.pid}, was {pids[each.name]}")
