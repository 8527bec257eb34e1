"""Settings of an executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address, Secret, check_at_least, check_name
from qmtl_foundation.tls import TlsSettings

PAPER: Final = "paper"


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """Hold what an executor is called, whose orders it takes, where it listens and what it stands on."""

    auth: AuthSettings
    tls: TlsSettings
    postgres_dsn: Secret
    nats_url: Secret
    listen: Address
    metrics_listen: Address
    world_address: Address
    gateway_address: Address
    token_file: str
    name: str = PAPER
    mode: str = PAPER
    health_listen: Address | None = None
    log_level: str = "info"
    nats_replicas: int = 1
    keep_days: int = 7

    def __post_init__(self) -> None:
        """Refuse a name that is no token of a subject, a mode that has no venue, and to forget within the day."""
        check_name("name", self.name)
        check_at_least("keep_days", self.keep_days, 1)
        if self.mode != PAPER:
            raise QmtlError(
                Reason.NOT_CONFIGURED,
                f"QMTL_MODE is {self.mode!r}, must be {PAPER}: no venue adapter for live orders is installed",
                metadata={"setting": "QMTL_MODE"},
            )
