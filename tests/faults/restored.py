"""A database that is restored to what it was a while ago, while the streams are not: worlds are held until reseeded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qmtl_sdk.local import postgres
from qmtl_sdk.local.process import recall, stop
from qmtl_sdk.local.start import stopping
from qmtl_sdk.local.state import Layout
from tests.faults.campaign import ASTRAY, SHORT, Campaign, Say, campaign
from tests.faults.checker import Violation
from tests.faults.senders import SENDER
from tests.faults.strikes import FAULTS
from tests.support.waiting import wait_until

NOTICED_SECONDS: Final = 30.0
MOVED_ON: Final = ("asked twice, and two at once", "rollback races the last acknowledgement")
TRADED_ON_SECONDS: Final = 3.0


def run(seed: int, say: Say) -> str:
    """Restore a backup behind runs that it does not know of, then one from within the newest epoch of all worlds;
    return what came of it, in sentences."""
    told = []
    for moved_on, what in (
        (MOVED_ON, f"{len(MOVED_ON) * SHORT.worlds} runs"),
        ((), "trades of the epoch that goes on"),
    ):
        with campaign(seed, SHORT, say) as found:
            say(f"restored database, to before {what}: all trade")
            intents, violations = restore(found, moved_on)
        assert not violations, [str(each) for each in violations]
        told.append(
            f"A database restored to before {what}: all {SHORT.worlds} worlds were held (`{ASTRAY}`), and nothing was "
            f"executed until each was reseeded and resumed. Then {intents:,} intents; no invariant was broken."
        )
    return "\n\n".join(told)


def restore(found: Campaign, moved_on: Sequence[str]) -> tuple[int, list[Violation]]:
    """Back the database up, go on by some faults, restore it; return how many intents came after the reseed, and what
    is wrong."""
    scene = found.scene
    layout = Layout(found.cluster.directory)
    backup = found.cluster.directory / "backup"
    _stop_postgres(layout)
    shutil.copytree(layout.postgres / "data", backup)
    _keep_owner(layout.postgres / "data", backup)
    found.cluster.heal_servers()
    found.rest()
    for name in moved_on:
        found.strike(next(each for each in FAULTS if each.name == name))
    found.await_flow()
    time.sleep(TRADED_ON_SECONDS)
    _stop_postgres(layout)
    behind = scene.broker.last("orders")
    shutil.rmtree(layout.postgres / "data")
    backup.rename(layout.postgres / "data")
    found.cluster.heal_servers()
    wait_until(lambda: all(ASTRAY in found.applies.told(world).holds for world in scene.worlds), NOTICED_SECONDS)
    found.rest()
    fences = scene.database.first_marks(behind)  # of the reseeds: what was sent before belongs to the life that is gone
    late = {world: scene.database.executed_between(world, behind, fences[world]) for world in scene.worlds}
    assert not any(late.values()), f"executed behind {behind} and before the reseeds' Fences: {late}"
    found.await_flow()
    found.stop_trading()
    judged = found.judged({world: place - 1 for world, place in fences.items()})
    return (
        sum(sum(each.position > fences[world] for each in history.intents) for world, (history, _) in judged.items()),
        [each for _, violations in judged.values() for each in violations if each.invariant != SENDER],
    )


def _stop_postgres(layout: Layout) -> None:
    child = recall(layout.record(postgres.NAME))
    assert child is not None
    stop(child, *stopping(postgres.NAME))


def _keep_owner(source: Path, copy: Path) -> None:
    for path in (copy, *copy.rglob("*")):
        stat = (source / path.relative_to(copy)).stat()
        shutil.chown(path, stat.st_uid, stat.st_gid)
