"""Start the gateway: ``qmtl-gateway`` or ``python -m qmtl_gateway``."""

from __future__ import annotations

from qmtl_foundation.process import run_service
from qmtl_gateway.bootstrap import running
from qmtl_gateway.settings import GatewaySettings


def main() -> None:
    """Run until signalled."""
    run_service("gateway", GatewaySettings, running)


if __name__ == "__main__":
    main()
