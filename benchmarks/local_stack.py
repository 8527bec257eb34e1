"""A local stack of a benchmark's own: fresh, in a directory of its own, gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qmtl_sdk.local import nats, postgres, stack
from qmtl_sdk.local.issuer import ADMIN, Issuer, open_issuer
from qmtl_sdk.local.state import Layout, load

QMTL: Final = (sys.executable, "-c", "import sys; from qmtl_sdk.cli.main import run; sys.exit(run())")


Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LocalStack:
    """Reach a stack's processes."""

    folder: Path

    def address(self, name: str) -> str:
        """Return where a process listens."""
        return load(Layout(self.folder)).endpoints[name].address

    @property
    def issuer(self) -> Issuer:
        """Return who issues its tokens."""
        return open_issuer(Layout(self.folder).auth)

    @property
    def metadata(self) -> Metadata:
        """Return what lets a call carry a token that may do everything in it."""
        return (("authorization", f"Bearer {self.issuer.token('bench', (ADMIN,))}"),)

    @property
    def postgres_dsn(self) -> str:
        """Return the DSN of its PostgreSQL."""
        return self.address(postgres.NAME)

    @property
    def nats_url(self) -> str:
        """Return the URL of its nats-server."""
        return nats.url(self.address(nats.NAME), nats.OPERATOR, nats.read_passwords(Layout(self.folder).auth))


@contextmanager
def state_folder() -> Iterator[Path]:
    """Yield a new folder, named by ``QMTL_STATE_DIR`` and for caches too; its stack is stopped at the end.

    Not in the checkout: as root, PostgreSQL's own account must be able to pass through the folder.
    """
    with tempfile.TemporaryDirectory(prefix="qmtl-bench-") as name:
        os.environ |= {"QMTL_STATE_DIR": name, "QMTL_CACHE_DIR": f"{name}/cache", "QMTL_AUTHOR": "bench"}
        try:
            yield Path(name)
        finally:
            stack.down(Path(name))


@contextmanager
def running_stack() -> Iterator[LocalStack]:
    """Yield a stack with all services."""
    with state_folder() as folder:
        qmtl("up")
        yield LocalStack(folder)


def qmtl(*arguments: str) -> None:
    """Run one ``qmtl`` command in a process of its own; raise CalledProcessError with its output when it fails."""
    subprocess.run((*QMTL, *arguments), check=True, stdout=subprocess.DEVNULL)
