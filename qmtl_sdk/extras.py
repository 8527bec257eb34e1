"""Whether an extra of the distribution is installed, told before its packages are imported."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason

SERVER: Final = ("asyncpg", "cryptography", "grpc", "jwt", "nats", "opentelemetry")  # needed at every start


def check_server_installed() -> None:
    """Raise QmtlError NOT_CONFIGURED, naming the packages that are missing, unless ``qmtl[server]`` is installed."""
    lacking = [each for each in SERVER if find_spec(each) is None]
    if lacking:
        message = f"the services are not installed ({', '.join(lacking)}); run pip install 'qmtl[server]'"
        raise QmtlError(Reason.NOT_CONFIGURED, message, metadata={"extra": "server"})
