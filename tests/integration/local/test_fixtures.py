"""The tests' own stack ends with the test process, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.stack import ROOT
from tests.support.waiting import wait_until

KILLED_TEST = """
import os, signal
from tests.support.stack import guarded_directory
from qmtl_sdk.local.stack import up
with guarded_directory() as directory:
    up(directory, services=())
    print(directory, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_stack_of_a_killed_test_is_taken_down() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        (sys.executable, "-c", KILLED_TEST), env=environment, check=False, stdout=subprocess.PIPE, text=True
    )
    assert ended.returncode == -9
    directory = Path(ended.stdout.strip())
    wait_until(lambda: not directory.exists())
