"""The guards of the runner, in the SDK."""

from __future__ import annotations

from typing import Final

from tests.guards.guard import Guard

GATE: Final = "qmtl_sdk/session/gate.py"
JOURNAL: Final = "qmtl_sdk/session/journal.py"
EMISSION: Final = "qmtl_sdk/session/emission.py"
ORDERS: Final = "qmtl_sdk/session/orders.py"
SESSION: Final = "qmtl_sdk/session/session.py"
SESSIONS: Final = "tests/unit/qmtl_sdk/session"
GATED: Final = f"{SESSIONS}/test_gate.py::test_"
WRITTEN: Final = f"{SESSIONS}/test_journal.py::test_"
EMITTED: Final = f"{SESSIONS}/test_emission.py::test_"
SENT: Final = f"{SESSIONS}/test_orders.py::test_"
HEARD: Final = f"{SESSIONS}/test_session.py::test_"

RUNNER: Final = (
    Guard(
        "S4",
        "an event is acknowledged when the gate has taken it",
        SESSION,
        "        if self._gate.event(told):\n",
        "        if told.sequence:\n",
        (f"{HEARD}events_are_applied_and_acknowledged_in_their_order",),
    ),
    Guard(
        "S5",
        "an older event is dropped",
        GATE,
        "(told.sequence < held.sequence or (told.sequence == held.sequence and self._current)):",
        "(told.sequence == held.sequence and self._current):",
        (f"{GATED}older_event_is_dropped",),
    ),
    Guard(
        "S5",
        "what is told of an older epoch leaves the gate in doubt",
        GATE,
        "if held is not None and (told.epoch < held.epoch or told.sequence < held.sequence):",
        "if held is not None and told.sequence < held.sequence:",
        (f"{GATED}newer_event_of_an_older_epoch_closes",),
    ),
    Guard(
        "S5",
        "an older snapshot is refused",
        GATE,
        "if held is not None and (told.epoch < held.epoch or told.sequence < held.sequence):",
        "if held is not None and told.epoch < held.epoch:",
        (f"{GATED}session_with_a_gateway_that_is_behind_closes",),
    ),
    Guard(
        "S8",
        "an intent is on disk before it is sent",
        ORDERS,
        "        self._journal.write(wishes, stamp.epoch, self._session.report_position or 0)\n"
        "        try:\n"
        "            self._session.publish(wishes, stamp)\n",
        "        try:\n"
        "            self._session.publish(wishes, stamp)\n"
        "            self._journal.write(wishes, stamp.epoch, self._session.report_position or 0)\n",
        (f"{SENT}unclear_send_is_on_disk",),
    ),
    Guard(
        "S8",
        "a commit has reached the disk",
        JOURNAL,
        'ON CONFLICT DO NOTHING", (report_position,))\n            self._connection.commit()\n',
        'ON CONFLICT DO NOTHING", (report_position,))\n',
        (f"{WRITTEN}killed_process_leaves_what_it_wrote_and_may_send_again_what_was_answered",),
    ),
    Guard(
        "S8",
        "one process has the journal",
        JOURNAL,
        '                connection.execute("PRAGMA locking_mode = EXCLUSIVE")\n',
        "",
        (f"{WRITTEN}one_process_at_a_time",),
    ),
    Guard(
        "S8",
        "an id stands for the target under which it was written first",
        EMISSION,
        "        if entry.wish.target != wish.target:",
        "        if False:",
        (f"{EMITTED}target_that_another_version_stated_for_the_bar_is_left_to_the_next",),
    ),
    Guard(
        "S8",
        "bars before the newest that was sent are past",
        EMISSION,
        "        return newest is not None and newest > wish.bar_time\n",
        "        return False\n",
        (f"{EMITTED}runner_that_starts_again_sends_nothing_of_past_bars",),
    ),
    Guard(
        "S8",
        "a fenced intent is sent again under a newer epoch only",
        EMISSION,
        "(entry.state is State.FENCED and entry.epoch < epoch)",
        "entry.state is State.FENCED",
        (f"{EMITTED}fenced_intent_is_sent_again_under_a_newer_epoch_only",),
    ),
    Guard(
        "S10",
        "a gate is closed until told otherwise",
        GATE,
        "        self._lease_until = sent + ttl\n        self._current = False\n",
        "        self._lease_until = sent + ttl\n",
        (f"{GATED}session_with_a_gateway_that_is_behind_closes",),
    ),
    Guard(
        "S10",
        "a gate closes when its lease is over",
        GATE,
        "        self._expire()\n        held = self._held\n",
        "        held = self._held\n",
        (f"{GATED}gate_closes_when_the_lease_is_over",),
    ),
    Guard(
        "S10",
        "the lease counts from the sending of the heartbeat",
        GATE,
        "max(self._lease_until, sent + self._ttl)",
        "max(self._lease_until, self._clock() + self._ttl)",
        (f"{GATED}answered_heartbeats_keep_it_open_from_their_sending",),
    ),
    Guard(
        "S10",
        "a gateway that does not know, or is behind, renews nothing",
        GATE,
        "if self._held is not None and (epoch, sequence) == (self._held.epoch, self._held.sequence):",
        "if self._held is not None:",
        (f"{GATED}gateway_that_does_not_know_or_is_behind_renews_nothing",),
    ),
    Guard(
        "S10",
        "a renewal after the lease opens nothing",
        GATE,
        "        self._expire()\n        self._floor",
        "        self._floor",
        (f"{GATED}renewal_after_the_lease_never_opens",),
    ),
    Guard(
        "S10",
        "a world that is held is closed",
        GATE,
        "return GateState.HELD if held.holds else self._admitted(held)",
        "return self._admitted(held)",
        (f"{GATED}hold_closes",),
    ),
    Guard(
        "S10",
        "a mode without orders sends none",
        GATE,
        "return GateState.OPEN if seat.mode in ORDER_MODES else GateState.NO_ORDERS",
        "return GateState.OPEN",
        (f"{GATED}only_this_version_in_the_set_with_orders_passes",),
    ),
    Guard(
        "S11",
        "only an UNFREEZE opens",
        GATE,
        "        if held.phase is not Phase.UNFREEZE:\n            return GateState.FROZEN\n",
        "",
        (f"{GATED}every_other_event_closes",),
    ),
    Guard(
        "S11",
        "nothing is sent while the gate is closed",
        GATE,
        "if self.state() is not GateState.OPEN or self._held is None:",
        "if self._held is None:",
        (f"{GATED}every_other_event_closes",),
    ),
    Guard(
        "S12",
        "a renewal that shows the world further on closes",
        GATE,
        "if not self._current or held.epoch < self._floor[0] or held.sequence < self._floor[1]:",
        "if not self._current:",
        (f"{GATED}renewal_that_shows_the_world_further_on_closes",),
    ),
    Guard(
        "S13",
        "another version of the strategy has no orders",
        GATE,
        "        if seat.strategy_version != self._version:\n            return GateState.OTHER_VERSION\n",
        "",
        (f"{GATED}only_this_version_in_the_set_with_orders_passes",),
    ),
    Guard(
        "S13",
        "a strategy that is not in the set has no orders",
        GATE,
        "        if seat is None:\n            return GateState.ABSENT\n",
        "        if seat is None:\n            return GateState.OPEN\n",
        (f"{GATED}only_this_version_in_the_set_with_orders_passes",),
    ),
    Guard(
        "S13",
        "what stands under an older epoch does not stand now",
        JOURNAL,
        "symbol = ? AND epoch = ? AND state IN",
        "symbol = ? AND (epoch = ? OR 1) AND state IN",
        (f"{EMITTED}first_bar_of_an_epoch_states_everything_again",),
    ),
    Guard(
        "S13",
        "a Fence of an epoch before the last sending says nothing of that",
        JOURNAL,
        '"AND (epoch = ? OR NOT ?)",',
        '"AND (epoch = ? OR NOT ? OR 1)",',
        (f"{WRITTEN}fence_of_an_epoch_before_the_last_sending_changes_nothing",),
    ),
)
