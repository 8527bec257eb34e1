"""Fixtures over the real thing: a PostgreSQL with a fresh database per module, a nats-server, a whole stack.

A conftest imports the fixtures that its tests use. Whatever is started here ends with the test process, even when
that is killed: see ``guard.py``.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qmtl_sdk.local import nats, postgres
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.stack import up
from qmtl_sdk.local.state import Layout
from tests.support.credentials import nats_url_of

ROOT = Path(__file__).resolve().parents[2]
GUARD = Path(__file__).with_name("guard.py")
TEMPLATE_DATABASE = "migrated"
DOWN_SECONDS = 120.0  # each process has its grace before SIGKILL


@dataclass(frozen=True, slots=True)
class Servers:
    """Reach a running PostgreSQL and a nats-server without services."""

    cluster: postgres.Cluster
    nats_url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def create_database(self, template: str = "template1") -> str:
        """Make a database of a new name and return its DSN."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        """Drop the database of a DSN, open connections or not."""
        name = dsn.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def dsn(self, database: str) -> str:
        """Return the DSN of a database."""
        return self.cluster.dsn.replace(f"/{postgres.DATABASE}?", f"/{database}?")

    def execute(self, statement: str) -> None:
        """Run one statement by psql: fixtures are synchronous and must not touch the tests' event loop."""
        psql = str(self.cluster.binaries / "psql")
        options = ("--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1")
        subprocess.run((psql, *options, "--command", statement, self.cluster.dsn), check=True)


@contextmanager
def guarded_directory() -> Iterator[Path]:
    """Yield a new short directory; its stack is taken down and the directory removed at the end, whatever happens.

    Not pytest's ``tmp_path``: as root that lies in a folder which PostgreSQL's account may not enter.
    """
    directory = Path(tempfile.mkdtemp(prefix="qmtl-"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        (sys.executable, str(GUARD), str(directory)), stdin=subprocess.PIPE, env=environment, start_new_session=True
    ) as guard:
        try:
            yield directory
        finally:
            try:
                guard.communicate(timeout=DOWN_SECONDS)
            finally:
                guard.kill()  # nothing, when it has ended; else leaving the block would wait for it without bound


def run_migrator(dsn: str, *packages: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the migrator by the same command as everywhere, with the packages below a folder."""
    environment = {**os.environ, "QMTL_POSTGRES_DSN": dsn, "PYTHONPATH": f"{root}{os.pathsep}{ROOT}"}
    command = (sys.executable, "-m", "qmtl_foundation.postgres.migrate", *packages)
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)


def migrate(dsn: str, *packages: str, root: Path = ROOT) -> str:
    """Migrate, and return what was said of it."""
    done = run_migrator(dsn, *packages, root=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_nothing_was_denied(directory: Path) -> None:
    """Fail where PostgreSQL or NATS denied a service something: its rights are too few, or it asks for too much."""
    said = {name: Layout(directory).log(name).read_text(errors="replace") for name in (postgres.NAME, nats.NAME)}
    assert "permission denied" not in said[postgres.NAME]
    assert "Violation" not in said[nats.NAME]


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """Give a state directory; a stack in it is taken down at the end."""
    with guarded_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def lasting_dir() -> Iterator[Path]:
    """Give a state directory for a module; its tests begin with ``up``, which heals what the last one broke."""
    with guarded_directory() as directory:
        yield directory


@pytest.fixture
def other_state_dir() -> Iterator[Path]:
    """Give a second state directory."""
    with guarded_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Give PostgreSQL and nats-server, started once."""
    with guarded_directory() as directory:
        started = {process.name: process for process in up(directory, services=()).processes}
        yield Servers(postgres.prepare(Layout(directory).postgres), nats_url_of(started[nats.NAME]))


@pytest.fixture(scope="session")
def nats_url(servers: Servers) -> str:
    """Give the nats-server's URL; one server for the session, so name streams apart."""
    return servers.nats_url


@pytest.fixture(scope="module")
def postgres_dsn(servers: Servers) -> Iterator[str]:
    """Give an empty database of the module's own."""
    dsn = servers.create_database()
    yield dsn
    servers.drop_database(dsn)


@pytest.fixture(scope="session")
def migrated_template(servers: Servers) -> str:
    """Migrate every service's schema once and give the database's name, to be copied."""
    servers.execute(f"CREATE DATABASE {TEMPLATE_DATABASE}")
    migrate(servers.dsn(TEMPLATE_DATABASE), *(service.package for service in SERVICES))
    return TEMPLATE_DATABASE


@pytest.fixture(scope="module")
def migrated_dsn(servers: Servers, migrated_template: str) -> Iterator[str]:
    """Give a database of the module's own with every service's schema in it."""
    dsn = servers.create_database(migrated_template)
    yield dsn
    servers.drop_database(dsn)


@pytest.fixture(scope="session")
def stack() -> Iterator[StackStatus]:
    """Give the whole stack with the real services, started once."""
    with guarded_directory() as directory:
        yield up(directory)
        check_nothing_was_denied(directory)
