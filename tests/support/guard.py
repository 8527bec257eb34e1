"""Take a test's stack down and remove its directory when the standard input ends: also when the tests were killed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from qmtl_sdk.local.stack import down

if __name__ == "__main__":
    sys.stdin.read()
    state_dir = Path(sys.argv[1])
    down(state_dir)
    shutil.rmtree(state_dir, ignore_errors=True)
