"""Settings of the world service."""

from __future__ import annotations

from dataclasses import dataclass

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.settings import Address, Secret, check_at_least, check_name
from qmtl_foundation.tls import TlsSettings


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """Hold where the world service listens and what it stands on.

    ``paper_executor`` names the executor that every paper world is given, empty for none.
    """

    auth: AuthSettings
    tls: TlsSettings
    postgres_dsn: Secret
    nats_url: Secret
    listen: Address
    metrics_listen: Address
    health_listen: Address | None = None
    log_level: str = "info"
    nats_replicas: int = 1
    paper_executor: str = "paper"
    keep_days: int = 7
    keep_series_days: int = 90

    def __post_init__(self) -> None:
        """Refuse a name that is none, and to forget what a repetition within the day may still ask for."""
        if self.paper_executor:
            check_name("paper_executor", self.paper_executor)
        check_at_least("keep_days", self.keep_days, 1)
        check_at_least("keep_series_days", self.keep_series_days, 1)
