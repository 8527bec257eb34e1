"""Start the DAG manager: ``qmtl-dagmgr`` or ``python -m qmtl_dagmgr``."""

from __future__ import annotations

from qmtl_dagmgr.bootstrap import running
from qmtl_dagmgr.settings import DagManagerSettings
from qmtl_foundation.process import run_service


def main() -> None:
    """Run until signalled."""
    run_service("dagmgr", DagManagerSettings, running)


if __name__ == "__main__":
    main()
