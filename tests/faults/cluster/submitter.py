"""An author who submits by the SDK without end: ``python -m tests.faults.cluster.submitter GATEWAY AUTHOR WORLD…``.

Each submission is a new strategy; what came of it is one line of JSON (``Submitted``). It ends with its input, once the
submission under way is over.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final

from examples.sma_cross import SmaCross
from qmtl_foundation.errors import QmtlError
from qmtl_sdk.runner import Runner

PAUSE_SECONDS: Final = 0.2
SLOW: Final = 200


@dataclass(frozen=True, slots=True)
class Submitted:
    """Hold how one submission went: ``error`` is empty, or what its author was told instead of a result. ``began`` in
    epoch seconds."""

    began: float
    world: str
    status: str
    seconds: float
    error: str


def main(gateway: str, author: str, *worlds: str) -> None:
    """Submit to one world after the other until the input ends."""
    for number in _until_end():
        began = time.time()
        world, status, error = worlds[number % len(worlds)], "", ""
        try:
            strategy = SmaCross(fast=2 + number % SLOW, slow=SLOW + 3 + number // SLOW)
            status = Runner.submit(strategy, world=world, author=author, gateway=gateway).status
        except QmtlError as failed:
            error = f"{failed.reason}: {failed.message}"
        told = Submitted(began, world, str(status), time.time() - began, error)
        sys.stdout.write(json.dumps(asdict(told)) + "\n")
        sys.stdout.flush()


def _until_end() -> Iterator[int]:
    for number in count():
        if select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
            return
        yield number


if __name__ == "__main__":
    main(*sys.argv[1:])
