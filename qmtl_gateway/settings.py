"""Settings of the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from qmtl_foundation.auth.settings import AuthSettings
from qmtl_foundation.rpc.limits import LimitSettings
from qmtl_foundation.settings import Address, Secret, check_at_least, check_name
from qmtl_foundation.tls import TlsSettings


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Hold where the gateway listens, what stands behind it, and the file of the token by which it calls that."""

    auth: AuthSettings
    tls: TlsSettings
    postgres_dsn: Secret
    nats_url: Secret
    listen: Address
    metrics_listen: Address
    world_address: Address
    dagmgr_address: Address
    token_file: str
    limits: LimitSettings
    name: str = "gateway"
    health_listen: Address | None = None
    log_level: str = "info"
    nats_replicas: int = 1
    keep_days: int = 7

    def __post_init__(self) -> None:
        """Refuse a name that nobody may have, and to forget what a repetition within the day may still ask for."""
        check_name("name", self.name)
        check_at_least("keep_days", self.keep_days, 1)
