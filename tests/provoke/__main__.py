"""``python -m tests.provoke``: provoke each alert once on a real stack, and write the table of the document.

A real Prometheus (``prometheus`` on the PATH) scrapes the stack each second and evaluates the real rules, of which only
the durations are divided by ``FACTOR``. Before, the healthy stack works for a while, and no alert may fire.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final

from qmtl_sdk.local.stack import up
from qmtl_sdk.settings import CACHE_VARIABLE
from tests.provoke import report
from tests.provoke.attempts import at_work, provoked
from tests.provoke.prometheus import PROMETHEUS, watching
from tests.provoke.provocations import ALL
from tests.provoke.scene import Scene
from tests.support.credentials import token_of
from tests.support.desk import dial
from tests.support.saying import timed
from tests.support.stack import guarded_directory

FACTOR: Final = 20


def main(arguments: Sequence[str]) -> int:
    """Provoke all of them; fail where one does not fire."""
    parser = argparse.ArgumentParser(prog="python -m tests.provoke", description=__doc__)
    parser.add_argument("--only", metavar="WORD", default="", help="alerts whose name has this word; writes no table")
    only = parser.parse_args(arguments).only
    names = [alert for each in ALL for alert in each.alerts]
    if not any(only in name for name in names):
        parser.error(f"no alert is named {only!r}; there are: {', '.join(names)}")
    if shutil.which(PROMETHEUS) is None:
        sys.stderr.write(f"{PROMETHEUS} is not on the PATH; it is in Debian's package of that name\n")
        return 2
    say = timed(time.monotonic())
    with guarded_directory() as folder:
        os.environ.update({"QMTL_STATE_DIR": str(folder), CACHE_VARIABLE: str(folder / "cache")})
        stack = up(folder)
        with (
            watching(stack, folder, FACTOR) as prometheus,
            dial(stack.gateway_address, token_of(folder)) as desk,
        ):
            scene = Scene(stack, desk, prometheus)
            at_work(scene)
            say("a healthy stack works, and nothing fires")
            outcomes = provoked(scene, FACTOR, say, only)
    if not only:
        report.write(report.table(outcomes))
        print(report.table(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
