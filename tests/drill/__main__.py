"""``python -m tests.drill``: lose everything again and again, restore it, and write the table of the page on backups.

All losses are of one cluster, one after the other; then, of another one, the database alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.drill.backwards import database_first
from tests.drill.loss import INTENTS_PER_SECOND, Came, Loss
from tests.faults.campaign import SLOW, Campaign, campaign
from tests.faults.load import Load, loaded
from tests.faults.restored import restore
from tests.support.pages import write_section
from tests.support.saying import timed

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "operations" / "backup.md"
SEED: Final = 1
COLUMNS: Final = (
    "backup, start",
    "rows, messages",
    "MB",
    "written in, s",
    "stream moved on by",
    "orders lost",
    "held astray",
    "executed while frozen",
    "sent again, executed",
    "executed, told fenced",
    "restored in, s",
    "all open after, s",
)
SENTENCE: Final = (
    "{date}, {worlds} worlds, {runners} runners, {processors} processors. After each restore every row and message was "
    "compared with the backup's and equal. After each start by the page `audit verify --since` the anchor taken before "
    "the backup was clean, and every world without a run under way at the backup had the same set as then, by "
    "`state_hash` ({unchanged} worlds in all). Then {submissions} submissions and {applies} apply runs went through "
    "without an error. In a separate last case the database alone was restored to an older state, while the streams "
    "kept what came after it: every world was held, nothing was executed until it was reseeded, {intents} intents came "
    "from then on, and no invariant was broken. All of it took {seconds:.0f} s."
)


def main() -> int:
    """Play every loss in one campaign; return 0, or fail."""
    began = time.monotonic()
    say = timed(began)
    with campaign(SEED, SLOW, say) as found:
        came = []
        with loaded(found.scene) as load:
            for loss in losses(found, load):
                say(f"{loss.what}: …")
                came.append(loss.play())
                say(_row(came[-1]))
    with campaign(SEED, SLOW, say) as found:  # a fresh one: places of the streams before would be taken for these
        intents, violations = restore(found, (), INTENTS_PER_SECOND)
    assert not violations, [str(each) for each in violations]
    text = f"{table(came)}\n\n{sentence(came, intents, time.monotonic() - began)}"
    print(text, flush=True)
    write_section(PAGE, "drill", text)
    return 0


def losses(found: Campaign, load: Load) -> tuple[Loss, ...]:
    """Return the losses that a cluster is to bear."""
    return (
        Loss(found, load, "streams, then database; by the page"),
        Loss(found, load, "database, then streams; by the page", writes=database_first),
        Loss(found, load, "streams, then database; all at once", careful=False),
        Loss(found, load, "database alone, streams begun anew; by the page", streams=False),
        Loss(found, load, "worlds frozen before; by the page", planned=True),
    )


def table(came: Sequence[Came]) -> str:
    """Return what came of each loss, as Markdown."""
    head = (f"| {' | '.join(COLUMNS)} |", f"| --- |{' --: |' * (len(COLUMNS) - 1)}")
    return "\n".join((*head, *(_row(each) for each in came)))


def sentence(came: Sequence[Came], intents: int, seconds: float) -> str:
    """Return what the table does not say."""
    return SENTENCE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        processors=os.cpu_count(),
        worlds=SLOW.worlds,
        runners=SLOW.worlds * SLOW.runners,
        unchanged=sum(each.unchanged for each in came),
        submissions=sum(each.submissions for each in came),
        applies=sum(each.applies for each in came),
        intents=intents,
        seconds=seconds,
    )


def _row(came: Came) -> str:
    early = "-" if came.early is None else came.early
    cells = (
        came.what,
        f"{came.manifest.rows:,}, {came.manifest.messages:,}",
        f"{came.megabytes:.1f}",
        f"{came.backup_s:.1f}",
        f"{came.manifest.moved_on['orders']}",
        *(f"{each}" for each in (came.lost, came.held, early, came.again, came.told_fenced)),
        f"{came.restore_s:.1f}",
        f"{came.open_s:.0f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
