"""Start an executor: ``qmtl-executor`` or ``python -m qmtl_executor``."""

from __future__ import annotations

from qmtl_executor.bootstrap import running
from qmtl_executor.settings import ExecutorSettings
from qmtl_foundation.process import run_service
from qmtl_sdk.settings import CACHE_VARIABLE


def main() -> None:
    """Run until signalled."""
    run_service("executor", ExecutorSettings, running, (CACHE_VARIABLE,))


if __name__ == "__main__":
    main()
