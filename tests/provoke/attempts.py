"""How provocations are tried: prepare, strike, wait for the alerts, mend; and what came of it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from helm.dashboards.alerts import rules
from tests.provoke.hurried import hurried
from tests.provoke.provocations import FIRST, LAST, LATE, MEANWHILE, Provocation, Steps
from tests.provoke.scene import Scene, Seen
from tests.support.applies import trading_world
from tests.support.desk import Asked, evaluate
from tests.support.saying import Say
from tests.support.waiting import wait_until

FIRES_SECONDS: Final = 90.0
RESTS_SECONDS: Final = 90.0  # until it no longer fires on what was provoked before
AT_WORK_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.2
STANDS: Final = re.compile(r"max by \(world\) \(executor_epoch\) == (?P<before>max by \(world\) \([^)]*\))")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold how an alert came to fire, and how many seconds after the strike."""

    alert: str
    how: str
    seen: str
    seconds: float


@dataclass(slots=True)
class Attempt:
    """Try one provocation."""

    provocation: Provocation
    scene: Scene
    say: Say
    _steps: Steps = field(init=False)
    _seen: Seen = field(init=False)
    _began: float = field(init=False)

    def prepare(self) -> None:
        """Do what comes before anything is wrong."""
        self._steps = self.provocation.begin(self.scene)
        next(self._steps)

    def strike(self) -> None:
        """Wait until its alerts are at rest, and strike."""
        prometheus = self.scene.prometheus
        wait_until(lambda: not prometheus.names() & set(self.provocation.alerts), RESTS_SECONDS)
        self._began = time.monotonic()
        self._seen = next(self._steps)

    def fired(self, firing: Sequence[Mapping[str, str]]) -> list[Outcome]:
        """Return what came of it for those of its alerts that fire now, as they should."""
        return [
            Outcome(alert, self.provocation.how, self._seen.what, time.monotonic() - self._began)
            for alert in self.provocation.alerts
            if any({"alertname": alert, **self._seen.labels}.items() <= each.items() for each in firing)
        ]

    def mend(self) -> None:
        """Bring back what was struck."""
        assert next(self._steps, None) is None


def at_work(scene: Scene) -> None:
    """Let a healthy stack work, and fail where any alert fires on that."""
    world = trading_world(scene.desk)
    deadline = time.monotonic() + AT_WORK_SECONDS
    number = 0
    while time.monotonic() < deadline:
        evaluate(scene.desk, Asked(world, f"W{number}"))
        number += 1
        fired = scene.prometheus.names()
        assert not fired, f"{fired} fired on a healthy stack"


def provoked(scene: Scene, factor: int, say: Say, only: str = "") -> list[Outcome]:
    """Provoke every alert, or those whose name has a word, and return what came of it."""

    def tried(*provocations: Provocation) -> list[Attempt]:
        return [Attempt(each, scene, say) for each in provocations if any(only in alert for alert in each.alerts)]

    outcomes = [each for stage in FIRST for each in _together(tried(*stage))]
    late = tried(LATE)
    for each in late:
        each.prepare()
    outcomes += [each for stage in MEANWHILE for each in _together(tried(*stage))]
    if late:
        _await_quiet(scene, factor)
    outcomes += _struck(late)
    return outcomes + _together(tried(LAST))


def _together(attempts: Sequence[Attempt]) -> list[Outcome]:
    for each in attempts:
        each.prepare()
    return _struck(attempts)


def _struck(attempts: Sequence[Attempt]) -> list[Outcome]:
    for each in attempts:
        each.strike()
    outcomes = _awaited(attempts) if attempts else []
    for each in attempts:
        each.mend()
    return outcomes


def _awaited(attempts: Sequence[Attempt]) -> list[Outcome]:
    """Return what came of attempts once all of their alerts have fired, not all of them at the same time."""
    found: dict[str, Outcome] = {}
    wanted = {alert for each in attempts for alert in each.provocation.alerts}
    deadline = time.monotonic() + FIRES_SECONDS
    while wanted - found.keys():
        firing = attempts[0].scene.prometheus.firing()
        for outcome in (outcome for each in attempts for outcome in each.fired(firing)):
            if outcome.alert not in found:
                found[outcome.alert] = outcome
                attempts[0].say(f"{outcome.alert} fires {outcome.seconds:.1f} s after: {outcome.how}")
        assert time.monotonic() < deadline, f"{wanted - found.keys()} did not fire; there fire {firing}"
        time.sleep(POLL_SECONDS)
    return list(found.values())


def _await_quiet(scene: Scene, factor: int) -> None:
    """Return when no world's epoch has moved for as long as QmtlOrdersFenced asks for."""
    rule = next(each for each in rules() if each["alert"] == "QmtlOrdersFenced")
    stands = STANDS.search(hurried(rule, factor)["expr"])
    assert stands is not None, rule
    moved = stands[0].replace("==", "!=")
    wait_until(lambda: scene.prometheus.holds(stands["before"]) and not scene.prometheus.holds(moved), RESTS_SECONDS)
