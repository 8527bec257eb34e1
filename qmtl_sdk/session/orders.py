"""Orders of a strategy that runs: its newest targets out through the gate, what came of them into the journal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.session.emission import Emission
from qmtl_sdk.session.journal import IntentJournal, State
from qmtl_sdk.session.model import Outcome, Stamp, Wish
from qmtl_sdk.session.session import RunnerSession
from qmtl_sdk.strategy.values import FloatArray

RETRY_SECONDS: Final = 0.1
MENDING_SECONDS: Final = 1.0  # before what is sent again that a person has to mend
KEPT_BACK_SECONDS: Final = 1.0  # before what an executor kept back is sent again; each time twice as long
MAX_KEPT_BACK_SECONDS: Final = 64.0
BATCH: Final = 1_000  # intents of one request

# The token, or how it is read, is to be mended by whoever runs the strategy; until then nothing is sent.
FOR_ITS_OWNER: Final = frozenset({Reason.UNAUTHENTICATED, Reason.NOT_CONFIGURED})
# They may or may not be stored, the gateway is ahead of what this runner was told, or it wants another token: they are
# sent again once the gate says so.
_AGAIN: Final = frozenset(
    {
        Reason.DEPENDENCY_UNAVAILABLE,
        Reason.DEADLINE_EXCEEDED,
        Reason.INTERNAL,
        Reason.GATE_CLOSED,
        Reason.EPOCH_MISMATCH,
        Reason.ACTIVATION_MISMATCH,
        Reason.MODE_WITHOUT_ORDERS,
        Reason.ORDER_STREAM_FULL,
        Reason.RATE_LIMITED,
        *FOR_ITS_OWNER,
    }
)


class Orders:
    """Send what is due while the gate is open. ``counts`` says how often an intent came to each state.

    ``fault`` is why the newest request is not known to be stored, None when it is.

    Not for use by several threads: the session has its own.
    """

    def __init__(
        self,
        session: RunnerSession,
        journal: IntentJournal,
        emission: Emission,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: Counter[State] = Counter()
        self.fault: QmtlError | None = None
        self._session = session
        self._journal = journal
        self._emission = emission
        self._clock = clock
        self._not_before = 0.0
        self._again_at: float | None = 0.0  # when what was kept back within the epoch is due; None where nothing was
        self._again_seconds = KEPT_BACK_SECONDS

    def state(self, timestamp: int, targets: FloatArray) -> None:
        """Take the targets [S] of the bar that closed at ``timestamp`` (nanoseconds of UTC); raises as ``Emission``."""
        self._emission.state(timestamp, targets)
        if self._again_at is None:  # after a restart the bar may be one of which an executor kept an intent back
            self._again_at = 0.0

    def work(self) -> None:
        """Hear reports, and send what is due if the gate is open.

        What ends unclear, or a gate that has closed meanwhile, is left for a later call. Raises QmtlError for what no
        later call would mend.
        """
        self._hear()
        stamp = self._session.stamp()
        if stamp is None or self._clock() < self._not_before:
            return
        due = self._emission.due(stamp.epoch) + self._kept_back(stamp.epoch)
        for start in range(0, len(due), BATCH):
            if not self._send(due[start : start + BATCH], stamp):
                mending = self.fault is not None and self.fault.reason in FOR_ITS_OWNER
                self._not_before = self._clock() + (MENDING_SECONDS if mending else RETRY_SECONDS)
                return

    def settled(self) -> bool:
        """Tell whether everything is sent and no report is outstanding."""
        stamp = self._session.stamp()
        if stamp is None or self._emission.due(stamp.epoch) or self._emission.kept_back(stamp.epoch):
            return False
        return self.outstanding() == 0

    def outstanding(self) -> int:
        """Count the intents that are stored, and not at their end."""
        return self._journal.count(State.ACCEPTED, State.WORKING)

    def _hear(self) -> None:
        for report in self._session.reports():
            if self._journal.reported(report):
                self.counts[State(report.outcome.value)] += 1
                self._expect(report.outcome)
        position = self._session.take_set_back()  # behind the reports: those heard before it are of the old stream
        if position is not None:
            self._journal.reports_begin(position)

    def _expect(self, outcome: Outcome) -> None:
        """Let what an executor kept back wait for a while, and for a short one once it takes anything."""
        if outcome is not Outcome.FENCED:
            self._again_seconds = KEPT_BACK_SECONDS
        soonest = self._clock() + self._again_seconds
        if self._again_at is None:
            self._again_at = soonest if outcome is Outcome.FENCED else None
        else:
            self._again_at = min(self._again_at, soonest)

    def _kept_back(self, epoch: int) -> list[Wish]:
        """Return what an executor kept back within this epoch, once it is due; then it waits for longer."""
        if self._again_at is None or self._clock() < self._again_at:
            return []
        kept_back = self._emission.kept_back(epoch)
        self._again_seconds = min(2 * self._again_seconds, MAX_KEPT_BACK_SECONDS) if kept_back else KEPT_BACK_SECONDS
        self._again_at = self._clock() + self._again_seconds if kept_back else None
        return kept_back

    def _send(self, wishes: Sequence[Wish], stamp: Stamp) -> bool:
        """Send wishes, on disk first; return whether they are stored."""
        self._journal.write(wishes, stamp.epoch, self._session.report_position or 0)
        try:
            self._session.publish(wishes, stamp)
        except QmtlError as error:
            if error.reason is Reason.INTENT_EXISTS:
                self._journal.refused(error.metadata.get("intent_id", ""))
                self.counts[State.REFUSED] += 1
            elif error.reason not in _AGAIN:
                raise
            self.fault = error
            return False
        self.fault = None
        self._journal.accepted([wish.intent_id for wish in wishes])
        self.counts[State.ACCEPTED] += len(wishes)
        return True
