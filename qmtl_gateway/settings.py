"""Settings of the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from qmtl_foundation.settings import Address, Secret, check_at_least, check_name


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Hold where the gateway listens and what stands behind it."""

    postgres_dsn: Secret
    nats_url: str
    listen: Address
    metrics_listen: Address
    world_address: Address
    dagmgr_address: Address
    name: str = "gateway"
    log_level: str = "info"
    nats_replicas: int = 1
    keep_days: int = 7

    def __post_init__(self) -> None:
        """Refuse a name that nobody may have, and to forget what a repetition within the day may still ask for."""
        check_name("name", self.name)
        check_at_least("keep_days", self.keep_days, 1)
