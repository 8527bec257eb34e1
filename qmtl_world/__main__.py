"""Start the world service: ``qmtl-world`` or ``python -m qmtl_world``."""

from __future__ import annotations

from qmtl_foundation.process import run_service
from qmtl_world.bootstrap import running
from qmtl_world.settings import WorldSettings


def main() -> None:
    """Run until signalled."""
    run_service("world", WorldSettings, running)


if __name__ == "__main__":
    main()
