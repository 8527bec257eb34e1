"""``python -m qmtl_sdk.cli``: the same as ``qmtl``."""

from __future__ import annotations

import sys

from qmtl_sdk.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
