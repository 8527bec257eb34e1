"""A cluster on one machine: PostgreSQL, nats-server, two DAG managers, two world services, three gateways, an executor.

Every service reaches PostgreSQL, NATS, world services and DAG managers over links of its own, which can be cut, held
and slowed. Replicas stand behind one address, as behind a load balancer: new connections go to one that takes them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from qmtl_sdk.local import nats, postgres, service
from qmtl_sdk.local.process import recall
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.stack import up
from qmtl_sdk.local.state import Endpoint, Layout
from tests.faults.cluster.processes import Process
from tests.support.beside import free_port
from tests.support.credentials import ground_of, nats_url_of, token_of
from tests.support.link import Link, link_to
from tests.support.stack import ROOT, guarded_directory, migrate
from tests.support.waiting import wait_until

GATEWAYS: Final = ("gateway-1", "gateway-2", "gateway-3")
WORLDS: Final = ("world-1", "world-2")
DAGMGRS: Final = ("dagmgr-1", "dagmgr-2")
EXECUTOR: Final = "executor"
SUCCESSOR: Final = "executor-2"  # a second instance of the same executor; not started with the others
PROCESSES: Final = (*DAGMGRS, *WORLDS, *GATEWAYS, EXECUTOR)
KILL_SECONDS: Final = 10.0


@dataclass(slots=True)
class Cluster:
    """Hold what runs. ``dsn`` and ``nats_url`` are direct, past all links; ``links`` go by ``<process>/<what>``."""

    directory: Path
    dsn: str
    nats_url: str
    links: dict[str, Link] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    addresses: dict[str, Endpoint] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """Return a token that may do everything, a service's part too."""
        return token_of(self.directory, "fault suite")

    @property
    def gateways(self) -> tuple[str, ...]:
        """Return the addresses of the gateways."""
        return tuple(self.addresses[name].address for name in GATEWAYS)

    @property
    def worlds(self) -> tuple[str, ...]:
        """Return the addresses of the world services themselves."""
        return tuple(self.addresses[name].address for name in WORLDS)

    @property
    def dagmgrs(self) -> tuple[str, ...]:
        """Return the addresses of the DAG managers themselves."""
        return tuple(self.addresses[name].address for name in DAGMGRS)

    def kill_server(self, name: str) -> None:
        """End ``postgres`` or ``nats`` by SIGKILL, and see it dead."""
        child = recall(Layout(self.directory).record(name))
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: not child.alive, KILL_SECONDS)

    def heal_servers(self) -> None:
        """Start PostgreSQL and NATS again where they are dead."""
        up(self.directory, services=())

    def heal(self) -> None:
        """Let everything flow and run again, as at the start."""
        for link in self.links.values():
            link.delay = 0.0
            link.release()
        self.heal_servers()
        for together in ((*DAGMGRS, *WORLDS), (*GATEWAYS, EXECUTOR)):  # those dial these
            for name in together:
                self.processes[name].heal()
            for name in together:
                self.processes[name].await_ready()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Yield a cluster in a directory of its own; all of it is gone at the end."""
    with guarded_directory() as directory, ExitStack() as stack:
        servers = {each.name: each for each in up(directory, services=()).processes}
        addresses = {name: each.address for name, each in servers.items()}
        cluster = Cluster(directory, addresses[postgres.NAME], nats_url_of(servers[nats.NAME]))
        migrate(cluster.dsn, *(each.package for each in SERVICES))
        _lay(cluster, stack, addresses)
        stack.callback(_stop, cluster)
        cluster.heal()
        yield cluster


def _lay(cluster: Cluster, stack: ExitStack, servers: Mapping[str, str]) -> None:
    """Choose addresses, open links, say how each process is started."""
    socket = next((Layout(cluster.directory).postgres / "run").glob(".s.PGSQL.*"))
    for name in (*PROCESSES, SUCCESSOR):
        cluster.addresses[name] = Endpoint(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    for name in (*PROCESSES, SUCCESSOR):
        links: dict[str, tuple[str | Path, ...]] = {
            "postgres": (socket,),
            "nats": (servers[nats.NAME],),
            "world": cluster.worlds,
            "dagmgr": cluster.dagmgrs,
        }
        for what, targets in links.items():
            cluster.links[f"{name}/{what}"] = stack.enter_context(link_to(*targets))
        cluster.processes[name] = _process(cluster, name)


def _process(cluster: Cluster, name: str) -> Process:
    kind = name.partition("-")[0]
    each = next(one for one in SERVICES if one.name == kind)
    dials = {
        "dagmgr": Endpoint(cluster.links[f"{name}/dagmgr"].address),
        "world": Endpoint(cluster.links[f"{name}/world"].address),
        "gateway": cluster.addresses[GATEWAYS[0]],
    }
    dsn = f"postgresql://{postgres.DATABASE}@{cluster.links[f'{name}/postgres'].address}/{postgres.DATABASE}"
    own = cluster.addresses[name]
    ground = ground_of(cluster.directory, dsn, cluster.links[f"{name}/nats"].address)
    values = service.settings(each, {**dials, kind: own}, ground)
    if kind == "gateway":
        values["QMTL_NAME"] = name
    layout = Layout(cluster.directory)
    command = service.command(each.arguments, values, ROOT, layout.log(name))
    return Process(name, command, layout.record(name), partial(service.healthy, own.address))


def _stop(cluster: Cluster) -> None:
    for link in cluster.links.values():
        link.delay = 0.0
        link.release()
    for name in (SUCCESSOR, *reversed(PROCESSES)):
        cluster.processes[name].stop()
