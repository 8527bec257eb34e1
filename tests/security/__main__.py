"""``python -m tests.security``: try roles and made-up requests on a stack of its own, and write the tables."""

from __future__ import annotations

import sys
from typing import Final

from qmtl_sdk.local.stack import up
from tests.security.document import REQUESTS, ROLES, show
from tests.security.fuzzing import KINDS
from tests.security.matrix import table, tried
from tests.security.scene import set_scene
from tests.security.trial import Tried, try_all
from tests.support.contract import METHODS
from tests.support.credentials import token_of
from tests.support.desk import dial
from tests.support.stack import guarded_directory

SEED: Final = 1
EACH: Final = 20  # requests of a kind for each method


def main() -> int:
    """Write the tables; return 1 where something broke."""
    with guarded_directory() as directory:
        stack = up(directory)
        with dial(stack.gateway_address, token_of(directory)) as desk:
            show(ROLES, table(tried(set_scene(stack, desk))))
            made_up = try_all(set_scene(stack, desk), SEED, EACH)
            show(REQUESTS, _requests(made_up))
    for each in made_up.wrong:
        sys.stderr.write(f"{each}\n")
    return 1 if made_up.wrong else 0


def _requests(made_up: Tried) -> str:
    statuses = sorted({name for counts in made_up.statuses.values() for name in counts})
    lines = [f"| requests | {' | '.join(f'`{each}`' for each in statuses)} |", f"| --- {'| --: ' * len(statuses)}|"]
    for kind in KINDS:
        counts = made_up.statuses[kind]
        lines.append(f"| {kind} | {' | '.join(f'{counts[each]:,}' for each in statuses)} |")
    total = (
        f"{made_up.requests:,} requests of seed {SEED} to {len(METHODS)} methods; {len(made_up.wrong)} broke anything."
    )
    return "\n".join([*lines, "", total])


if __name__ == "__main__":
    sys.exit(main())
