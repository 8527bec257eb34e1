"""Settings of the DAG manager."""

from __future__ import annotations

from dataclasses import dataclass

from qmtl_foundation.settings import Address, Secret


@dataclass(frozen=True, slots=True)
class DagManagerSettings:
    """Hold where the DAG manager listens and what it stands on."""

    postgres_dsn: Secret
    nats_url: str
    listen: Address
    metrics_listen: Address
    log_level: str = "info"
