"""One loss: a backup under load, everything gone, a restore into new servers, the services started; what came of it.

1. LOAD: runners trade, authors submit, an operator applies. The audit's end is noted, then the backup made.
2. LOSS: the load goes on for a while; then every service, PostgreSQL and NATS are killed and their data deleted.
   Runners, authors and the operator live on, on machines of their own; runners are started anew with the gateways,
   for they alone know epochs of the life that is gone.
3. RESTORE into a new cluster and a new store; rows, messages, hashes are compared.
4. START as the page says (``carefully``), or all at once (``at_once``).
5. WORK: all worlds open again, authors, operator and runners go on; nothing was executed that had been.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qmtl_sdk.local.backup import Manifest, backup, restore
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.state import Layout
from tests.drill.lives import Life, read_life, settled
from tests.faults.campaign import ASTRAY, REST_SECONDS, Campaign
from tests.faults.cluster.cluster import DAGMGRS, EXECUTOR, GATEWAYS, PROCESSES, WORLDS, Cluster
from tests.faults.load import Load
from tests.faults.strikes import Scene
from tests.support.command_line import run_qmtl
from tests.support.stack import migrate
from tests.support.waiting import wait_until

HOLD: Final = "restored"
PLANNED: Final = "backup"
GOES_ON_SECONDS: Final = 30.0
NOTICED_SECONDS: Final = 30.0
INTENTS_PER_SECOND: Final = 5.0  # an executor reads a restored stream anew: more of them only take longer

# In a world that is astray an executor may have passed an Open of the life that is gone; by what the world service says
# it executes nothing.
_OPEN: Final = """
SELECT FROM world.place p LEFT JOIN executor.place x USING (world)
WHERE p.is_open OR (x.is_open AND NOT $1 = ANY(p.holds))
"""

Writes = Callable[[Path, Path], Manifest]


@dataclass(frozen=True, slots=True)
class Came:
    """Hold what came of one loss; seconds of the backup, of the restore, and until all worlds were open.

    ``lost`` are orders of the life that is gone which the restored database does not know; ``early`` what was executed
    before an operator let go, None where nobody held anything; ``again`` what both lives executed beyond the backup,
    sent again by runners that had not heard of its end; ``told_fenced`` what was executed in the life that is gone and
    is told of as fenced now. ``moved_on`` of the manifest is negative where the database was written first.
    """

    what: str
    careful: bool
    manifest: Manifest
    megabytes: float
    backup_s: float
    restore_s: float
    open_s: float
    lost: int
    held: int
    early: int | None
    again: int
    told_fenced: int
    unchanged: int
    submissions: int
    applies: int


@dataclass(frozen=True, slots=True)
class _Started:
    """Hold what came of a start: worlds astray, orders executed by then, sets compared with those of before."""

    held: int
    early: int | None
    unchanged: int


@dataclass(slots=True)
class Loss:
    """Be one loss of a campaign's cluster: how it is called, how its backup is written, how services are started."""

    found: Campaign
    load: Load
    what: str
    writes: Writes = backup
    careful: bool = True
    planned: bool = False  # the worlds are frozen before the backup
    streams: bool = True  # they are restored; else the services begin new ones

    def play(self) -> Came:
        """Go through all of it; fail where something is not as it was."""
        folder = self._cluster.directory / f"backup-{time.monotonic_ns()}"
        anchor = self._cluster.directory / "anchor.json"
        manifest, took = self._back_up(folder, anchor)
        old = read_life(self._scene.database, self._cluster.nats_url)
        self._lose()
        began = time.monotonic()
        _, differences = restore(folder, self._cluster.directory)
        assert differences == [], differences
        restored_s = time.monotonic() - began
        new = read_life(self._scene.database, self._cluster.nats_url)
        self._compare(old, new, manifest)
        if not self.streams:
            self._scene.broker.delete_streams()
        migrate(self._cluster.dsn, *(each.package for each in SERVICES))
        started = self._carefully(old, new, anchor) if self.careful else self._at_once()
        self.found.rest()
        open_s = time.monotonic() - began
        submissions, applies = self._work()
        end = read_life(self._scene.database, self._cluster.nats_url)
        if self.careful and self.streams:
            last = manifest.streams["orders"].last
            stood = [each for each in end.executed - new.executed if end.places[each] <= last]
            assert stood == [], f"executed from the restored stream: {stood}"
        megabytes = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) / 1e6
        shutil.rmtree(folder)
        return Came(
            what=self.what,
            careful=self.careful,
            manifest=manifest,
            megabytes=megabytes,
            backup_s=took,
            restore_s=restored_s,
            open_s=open_s,
            lost=len(old.executed - new.executed),
            held=started.held,
            early=started.early,
            again=len((end.executed - new.executed) & old.executed),
            told_fenced=len((end.fenced - new.fenced) & old.executed),
            unchanged=started.unchanged,
            submissions=submissions,
            applies=applies,
        )

    @property
    def _cluster(self) -> Cluster:
        return self.found.cluster

    @property
    def _scene(self) -> Scene:
        return self.found.scene

    # ---- Before

    def _back_up(self, folder: Path, anchor: Path) -> tuple[Manifest, float]:
        self.load.paused.clear()
        self.load.await_work(self._scene.worlds, time.time())
        self.found.await_flow(INTENTS_PER_SECOND)
        if not self.planned:
            manifest, took = self._write(folder, anchor)
            self._go_on(manifest)
            return manifest, took
        self.load.paused.set()
        self.found.rest()
        self._freeze(PLANNED, self._cluster.worlds[0])
        wait_until(lambda: not self._scene.database.unsettled(list(self._scene.worlds)), REST_SECONDS)
        newest = {world: self._scene.broker.newest_intent(world) for world in self._scene.worlds}
        wait_until(lambda: not self._scene.database.behind(newest), REST_SECONDS)
        wait_until(lambda: self._scene.database.unanswered() == 0, REST_SECONDS)
        manifest, took = self._write(folder, anchor)
        assert not any(manifest.moved_on[each] for each in ("orders", "control")), manifest.moved_on
        return manifest, took

    def _write(self, folder: Path, anchor: Path) -> tuple[Manifest, float]:
        anchor.write_text(json.dumps(self._verify(self._cluster.gateways[0], None)))
        began = time.monotonic()
        manifest = self.writes(self._cluster.directory, folder)
        return manifest, time.monotonic() - began

    def _go_on(self, manifest: Manifest) -> None:
        """Wait until each world has executed orders that neither the backup's stream nor its database knows."""
        known = manifest.streams["orders"].last + max(0, manifest.moved_on["orders"])
        wait_until(lambda: self._scene.database.executed_behind(known) >= set(self._scene.worlds), GOES_ON_SECONDS)

    def _lose(self) -> None:
        self.load.paused.set()
        for name in PROCESSES:
            self._cluster.processes[name].kill()
        for name in ("postgres", "nats"):
            self._cluster.kill_server(name)
        layout = Layout(self._cluster.directory)
        shutil.rmtree(layout.postgres / "data")
        shutil.rmtree(layout.nats / "jetstream")

    # ---- After

    def _compare(self, old: Life, new: Life, manifest: Manifest) -> None:
        assert new.cluster != old.cluster, "it is the cluster of before"
        for stream in new.streams:
            last = manifest.streams[stream].last
            assert new.digest(stream, last) == old.digest(stream, last), f"stream {stream} is not what it was"
            assert all(each.position <= last for each in new.streams[stream]), f"stream {stream} has more than it had"
        assert new.executed <= old.executed

    def _carefully(self, old: Life, new: Life, anchor: Path) -> _Started:
        """Start as the page says."""
        database, worlds = self._scene.database, self._scene.worlds
        stood, hashes = settled(database), old.state_hashes()
        self._start(*WORLDS[:1])
        address = self._cluster.worlds[0]
        verified = self._verify(address, anchor)
        assert all(not each["faults"] and each["since"] for each in verified["worlds"]), verified
        self._freeze(HOLD, address)
        self._start(*WORLDS[1:], *DAGMGRS)
        self._end_runners()
        self._start(*GATEWAYS)
        self._scene.runners.heal()
        self._start(EXECUTOR)
        wait_until(self._told, NOTICED_SECONDS)
        told = {world: self.found.applies.told(world) for world in worlds}
        for world, sequence in stood.items():
            assert told[world].activation_set.state_hash == hashes[world, sequence], f"{world}: another set"
        assert all(HOLD in each.holds for each in told.values()), told
        self._await_read()
        assert not database.fetch(_OPEN, ASTRAY), "a gate is open that was closed"
        early = len(read_life(database, self._cluster.nats_url).executed - new.executed)
        assert early == 0, f"{early} orders were executed in worlds that are frozen"
        return _Started(sum(ASTRAY in each.holds for each in told.values()), early, len(stood))

    def _at_once(self) -> _Started:
        """Start everything at once, as one does who has not read the page."""
        self._end_runners()
        self._start(*PROCESSES)
        self._scene.runners.heal()
        self._await_read()
        astray = sum(ASTRAY in self.found.applies.told(world).holds for world in self._scene.worlds)
        return _Started(astray, None, 0)

    def _await_read(self) -> None:
        """Wait until the executor has read what stands in the restored stream."""
        newest = {world: self._scene.broker.newest_intent(world) for world in self._scene.worlds}
        created = self._scene.broker.created("orders")
        others = "SELECT FROM executor.place WHERE generation <> $1"
        wait_until(lambda: not self._scene.database.fetch(others, created), NOTICED_SECONDS)
        wait_until(lambda: not self._scene.database.behind(newest), REST_SECONDS)

    def _told(self) -> bool:
        """Tell whether each world has told its hold, or is astray."""
        return not self._scene.database.fetch(
            "SELECT FROM world.outbox o JOIN world.place p USING (world) "
            "WHERE o.publish_time IS NULL AND NOT $1 = ANY(p.holds)",
            ASTRAY,
        )

    def _end_runners(self) -> None:
        for runner in self._scene.runners.running:
            runner.kill()

    def _start(self, *names: str) -> None:
        for name in names:
            self._cluster.processes[name].launch()
        for name in names:
            self._cluster.processes[name].await_ready()

    def _freeze(self, hold: str, address: str) -> None:
        for world in self._scene.worlds:
            self._qmtl("world", "freeze", world, "--hold", hold, "--reason", "drill", "--gateway", address)

    def _work(self) -> tuple[int, int]:
        """See authors, operator and runners at work again; return how many submissions and runs went well since."""
        since = time.time()
        self.load.paused.clear()
        self.load.await_work(self._scene.worlds, since)
        self.found.await_flow(INTENTS_PER_SECOND)
        self.load.paused.set()
        self.found.rest()
        errors = self.load.errors(since)
        assert errors == [], errors
        submitted, applied = self.load.submitted, self.load.applied
        return sum(each.began >= since for each in submitted), sum(each.began >= since for each in applied)

    def _verify(self, address: str, since: Path | None) -> Any:
        stated = () if since is None else ("--since", str(since))
        return self._qmtl("audit", "verify", *stated, "--gateway", address)

    def _qmtl(self, *arguments: str) -> Any:
        token = str(Layout(self._cluster.directory).user_token)
        environment = {**os.environ, "QMTL_TOKEN_FILE": token, "QMTL_STATE_DIR": str(self._cluster.directory)}
        ended = run_qmtl(environment, *arguments, "--output", "json")
        assert ended.code == 0, f"qmtl {' '.join(arguments)}: {ended.out}{ended.err}"
        return ended.document
