"""What a stack remembers in its state directory: where its files lie, and ``stack.json`` with its addresses."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.local.whole_file import SECRET, replace_file

SCHEMA: Final = "qmtl.stack/1"
MAX_PORT: Final = 65_535
SETTING: Final = "QMTL_STATE_DIR"
STATE_DIR_OF_ROOT: Final = Path("/var/lib/qmtl")  # PostgreSQL's account may pass through it, unlike /root


@dataclass(frozen=True, slots=True)
class Layout:
    """Name the files of one stack."""

    root: Path

    @property
    def state_file(self) -> Path:
        """Return where the addresses are kept."""
        return self.root / "stack.json"

    @property
    def postgres(self) -> Path:
        """Return the folder of PostgreSQL: cluster and socket."""
        return self.root / "postgres"

    @property
    def nats(self) -> Path:
        """Return the folder of the nats-server: configuration and streams."""
        return self.root / "nats"

    @property
    def auth(self) -> Path:
        """Return the folder of who is let in: the issuer's keys and the tokens it made."""
        return self.root / "auth"

    @property
    def user_token(self) -> Path:
        """Return the file of the token by which the stack's user calls."""
        return self.auth / "token"

    @property
    def restoring(self) -> Path:
        """Return the file that is there from the beginning of a restore until all of it is compared and the same."""
        return self.root / "restoring"

    def record(self, name: str) -> Path:
        """Return where a process writes who it is and its keeper how it ended."""
        return self.root / "run" / f"{name}.record"

    def log(self, name: str) -> Path:
        """Return the log of a process."""
        return self.root / "logs" / f"{name}.log"

    def create(self) -> None:
        """Make the folders. Raises QmtlError(NOT_CONFIGURED) where that is not possible."""
        try:
            for folder in (self.root, self.root / "run", self.root / "logs"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(self.root, error) from error


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Hold where one process listens (host:port, or a URL) and the fingerprint of how and what was started."""

    address: str
    metrics_address: str = ""
    launch: str = ""


@dataclass(frozen=True, slots=True)
class StackState:
    """Hold the addresses of a stack by process name, as ``stack.json`` does."""

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


def default_state_dir() -> Path:
    """Return ``/var/lib/qmtl`` for root, else ``$XDG_STATE_HOME/qmtl`` (``~/.local/state/qmtl``)."""
    if os.geteuid() == 0:
        return STATE_DIR_OF_ROOT
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home else Path.home() / ".local" / "state") / "qmtl"


def stated_dir() -> Path:
    """Return the state directory that the environment names by ``QMTL_STATE_DIR``, else the default one."""
    stated = os.environ.get(SETTING, "")
    return Path(stated) if stated else default_state_dir()


def gateway_address(state_dir: Path) -> str:
    """Return where the gateway of a stack listens. Raises QmtlError(NOT_CONFIGURED) when no stack was started there."""
    endpoint = load(Layout(state_dir)).endpoints.get("gateway")
    if endpoint is None:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"no stack was started in {state_dir}: run `qmtl up`, or name a gateway's address",
            metadata={"state_dir": str(state_dir)},
        )
    return endpoint.address


def endpoints_of(address: Address) -> Mapping[str, Endpoint]:
    """Return where the processes of the environment's stack listen if a gateway's address is its own, else nothing.

    Raises as ``load``, of an address of this machine's loopback.
    """
    if not address.is_loopback:
        return {}
    endpoints = load(Layout(stated_dir())).endpoints
    own = Address.parse(endpoints["gateway"].address) if "gateway" in endpoints else None
    return endpoints if own is not None and own.port == address.port else {}


def load(layout: Layout) -> StackState:
    """Read ``stack.json``; a directory without one has an empty state.

    Raises QmtlError(NOT_CONFIGURED) for a damaged file: the addresses are lost, and no answer would be true.
    """
    try:
        return _from_document(json.loads(layout.state_file.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return StackState()
    except OSError as error:
        raise _unusable(layout.root, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"{layout.state_file} is damaged ({error}): "
            "`qmtl up` makes it anew; it holds addresses only, the data is kept",
            metadata={"path": str(layout.state_file)},
        ) from error


def save(layout: Layout, state: StackState) -> None:
    """Write ``stack.json`` whole or not at all."""
    document = {"schema": SCHEMA, **asdict(state)}
    replace_file(layout.state_file, json.dumps(document, indent=2).encode() + b"\n", SECRET)


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Keep every other ``up`` and ``down`` of this directory waiting; the lock ends with the process that holds it.

    Raises QmtlError(NOT_CONFIGURED) for a directory that may not be written to.
    """
    try:
        lock = (layout.root / "lock").open("w")
    except OSError as error:
        raise _unusable(layout.root, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _from_document(document: Mapping[str, Any]) -> StackState:
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA!r}")
    endpoints = {name: Endpoint(**values) for name, values in document["endpoints"].items()}
    for name, endpoint in endpoints.items():
        if not (_is_address(endpoint.address) and _is_address(endpoint.metrics_address)):
            raise ValueError(f"{name} has no valid address")
    return StackState(endpoints)


def _is_address(text: str) -> bool:
    """Accept a URL, host:port, and the empty address of what has none."""
    return "://" in text or not text or 0 < int(text.rpartition(":")[2]) <= MAX_PORT


def _unusable(root: Path, error: OSError) -> QmtlError:
    return QmtlError(
        Reason.NOT_CONFIGURED,
        f"state directory {root} cannot be used ({error.strerror}: {error.filename}): choose another by --state-dir "
        f"or {SETTING}",
        metadata={"state_dir": str(root), "setting": SETTING, "error": str(error)},
    )
