"""A database that is restored to what it was a while ago, while the streams are not: worlds are held until reseeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qmtl_sdk.local.state import Layout
from tests.faults.campaign import ASTRAY, INTENTS_PER_SECOND, SHORT, Campaign, campaign
from tests.faults.checker import Violation
from tests.faults.senders import SENDER
from tests.faults.strikes import FAULTS
from tests.support.restoring import keep_database, restore_database
from tests.support.saying import Say
from tests.support.waiting import wait_until

NOTICED_SECONDS: Final = 30.0
MOVED_ON: Final = ("asked twice, and two at once", "rollback races the last acknowledgement")
TRADED_ON_SECONDS: Final = 30.0


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


def restore(found: Campaign, moved_on: Sequence[str], least: float = INTENTS_PER_SECOND) -> tuple[int, list[Violation]]:
    """Back the database up, go on by some faults, restore it; return how many intents came after the reseed, and what
    is wrong. ``least``: how many intents must flow in a second."""
    scene = found.scene
    layout = Layout(found.cluster.directory)
    backup = found.cluster.directory / "backup"
    keep_database(layout, backup)
    found.cluster.heal_servers()
    found.rest()
    for name in moved_on:
        found.strike(next(each for each in FAULTS if each.name == name))
    known = scene.broker.last("orders")
    wait_until(lambda: scene.database.executed_behind(known) >= set(scene.worlds), TRADED_ON_SECONDS)
    found.await_flow(least)
    restore_database(layout, backup)
    behind = scene.broker.last("orders")
    found.cluster.heal_servers()
    wait_until(lambda: all(ASTRAY in found.applies.told(world).holds for world in scene.worlds), NOTICED_SECONDS)
    found.rest()
    fences = scene.database.first_marks(behind)  # of the reseeds: what was sent before belongs to the life that is gone
    late = {world: scene.database.executed_between(world, behind, fences[world]) for world in scene.worlds}
    assert not any(late.values()), f"executed behind {behind} and before the reseeds' Fences: {late}"
    found.await_flow(least)
    found.stop_trading()
    judged = found.judged({world: place - 1 for world, place in fences.items()})
    return (
        sum(sum(each.position > fences[world] for each in history.intents) for world, (history, _) in judged.items()),
        [each for _, violations in judged.values() for each in violations if each.invariant != SENDER],
    )
