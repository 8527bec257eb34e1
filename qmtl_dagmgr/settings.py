"""Settings of the DAG manager."""

from __future__ import annotations

from dataclasses import dataclass

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.settings import Address, Secret
from qmtl_foundation.tls import TlsSettings


@dataclass(frozen=True, slots=True)
class DagManagerSettings:
    """Hold where the DAG manager listens and what it stands on."""

    auth: AuthSettings
    tls: TlsSettings
    postgres_dsn: Secret
    nats_url: Secret
    listen: Address
    metrics_listen: Address
    health_listen: Address | None = None
    log_level: str = "info"
