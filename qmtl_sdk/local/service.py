"""The services of the local stack as data: how each is started, and whether it is healthy (``grpc.health.v1``)."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import qmtl_foundation
from qmtl_foundation.health import CHECK, SERVING
from qmtl_sdk.local import nats, postgres
from qmtl_sdk.local.issuer import ISSUER, Issuer
from qmtl_sdk.local.process import Command
from qmtl_sdk.local.state import Endpoint

DISTRIBUTION: Final = "qmtl"
PROBE_SECONDS: Final = 3.0  # a loaded machine answers late
STOP_SECONDS: Final = 15.0  # a service drains its calls first
_OF_ITS_OWN: Final = ("QMTL_", "OTEL_SERVICE_NAME")  # variables that a process does not inherit


@dataclass(frozen=True, slots=True)
class Service:
    """State one service: arguments to the interpreter, package of its migrations, services whose address it is told."""

    name: str
    arguments: tuple[str, ...]
    package: str = ""
    dials: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """Return its role in PostgreSQL, as the migrator makes it: named as its package."""
        return self.package


SERVICES: Final = (
    Service("dagmgr", ("-m", "qmtl_dagmgr"), "qmtl_dagmgr"),
    Service("world", ("-m", "qmtl_world"), "qmtl_world"),
    Service("gateway", ("-m", "qmtl_gateway"), "qmtl_gateway", dials=("dagmgr", "world")),
    Service("executor", ("-m", "qmtl_executor"), "qmtl_executor", dials=("world", "gateway")),
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Hold what services stand on.

    ``postgres_dsn`` is that of PostgreSQL's owner, ``nats_address`` host:port, ``nats_passwords`` go by service.
    """

    postgres_dsn: str
    nats_address: str
    nats_passwords: Mapping[str, str]
    issuer: Issuer


def settings(service: Service, endpoints: Mapping[str, Endpoint], ground: Ground) -> dict[str, str]:
    """Return the ``QMTL_…`` settings of a service; the same variables configure it anywhere else.

    In PostgreSQL and in NATS it is a user of its own, who may do its part only.
    """
    own = endpoints[service.name]
    token_file = {"QMTL_TOKEN_FILE": str(ground.issuer.service_token(service.name))} if service.dials else {}
    return {
        "QMTL_AUTH_JWKS": str(ground.issuer.jwks),
        "QMTL_AUTH_ISSUER": ISSUER,
        **token_file,
        "QMTL_LISTEN": own.address,
        "QMTL_METRICS_LISTEN": own.metrics_address,
        "QMTL_POSTGRES_DSN": postgres.dsn_of(ground.postgres_dsn, service.role),
        "QMTL_NATS_URL": nats.url(ground.nats_address, service.name, ground.nats_passwords),
        **{f"QMTL_{name.upper()}_ADDRESS": endpoints[name].address for name in service.dials},
    }


def command(arguments: tuple[str, ...], values: Mapping[str, str], directory: Path, log: Path) -> Command:
    """Return how to run our own Python code in a process: the same interpreter and the same checkout as this one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_ITS_OWN)}
    # -P: a file in the working directory must not pass for a module.
    argv = (sys.executable, "-P", *arguments)
    return Command(argv, {**inherited, **_python_path(), "PYTHONUNBUFFERED": "1", **values}, directory, log)


def healthy(address: str) -> bool:
    """Tell whether the server as a whole answers SERVING. A server that refuses or is silent for 3 s is not."""
    import grpc  # 90 ms: only who starts or asks a stack needs it

    # A new channel each time: no backoff.
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        check = channel.unary_unary(CHECK)
        try:
            return bool(check(b"", timeout=PROBE_SECONDS) == SERVING)
        except grpc.RpcError:
            return False


def _python_path() -> dict[str, str]:
    """Name the checkout, unless the packages are installed: site-packages must not come before the standard library."""
    root = str(Path(qmtl_foundation.__file__).resolve().parents[1])
    if root in (*site.getsitepackages(), site.getusersitepackages()):
        return {}
    inherited = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{root}{os.pathsep}{inherited}" if inherited else root}
