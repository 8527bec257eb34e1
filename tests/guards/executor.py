"""The guards of the executor."""

from __future__ import annotations

from typing import Final

from tests.guards.guard import Guard

FOLLOW: Final = "qmtl_executor/follow.py"
PASSAGE: Final = "qmtl_executor/passage.py"
TRADER: Final = "qmtl_executor/trader.py"
JOURNAL: Final = "qmtl_executor/journal.py"
ACKNOWLEDGE: Final = "qmtl_executor/acknowledge.py"
LEASE: Final = "qmtl_executor/lease.py"
RULES: Final = "tests/unit/qmtl_executor/test_follow.py::test_"
FOLLOWING: Final = "tests/integration/executor/test_following.py::test_"
RESTORED: Final = "tests/integration/executor/test_restored.py::test_"
DOUBT: Final = "tests/integration/executor/test_doubt.py::test_"
JOURNALS: Final = "tests/integration/executor/test_journal.py::test_"
LEASES: Final = "tests/unit/qmtl_executor/test_lease.py::test_"
ACKNOWLEDGING: Final = "tests/unit/qmtl_executor/test_acknowledge.py::test_"

EXECUTOR: Final = (
    Guard(
        "S1",
        "an intent behind a Fence of a newer epoch is fenced",
        FOLLOW,
        "    if intent.epoch < place.fence:\n"
        '        return Fenced(f"stands behind the Fence of epoch {place.fence}, is of epoch {intent.epoch}")\n',
        "",
        (f"{RULES}intents_are_fenced_by_where_they_stand_whatever_epoch_they_claim",),
    ),
    Guard(
        "S1",
        "fences go up only",
        FOLLOW,
        "if mark.epoch > place.fence or (place.unsure and mark.epoch == place.fence):",
        "if mark.epoch != place.fence or place.unsure:",
        (f"{RULES}a_fence_of_an_older_epoch_does_nothing",),
    ),
    Guard(
        "S1",
        "a Fence of an epoch that was passed acts on none but the unsure",
        FOLLOW,
        "if mark.epoch > place.fence or (place.unsure and mark.epoch == place.fence):",
        "if mark.epoch >= place.fence:",
        (f"{RULES}a_second_fence_of_an_epoch_that_was_passed_closes_nothing_and_is_acknowledged",),
    ),
    Guard(
        "S2",
        "an intent before the Open is fenced",
        FOLLOW,
        "if not place.is_open or intent.epoch > place.fence:",
        "if intent.epoch > place.fence:",
        (f"{RULES}intents_are_fenced_by_where_they_stand_whatever_epoch_they_claim",),
    ),
    Guard(
        "S2",
        "a Fence closes",
        FOLLOW,
        "replace(place, is_open=False, unsure=False, restored_mark=None)",
        "replace(place, unsure=False, restored_mark=None)",
        (f"{RULES}a_fence_of_a_newer_epoch_closes_what_was_open",),
    ),
    Guard(
        "S2",
        "an Open acts at the fence's epoch only",
        FOLLOW,
        "place.fence == NO_EPOCH or mark.epoch < place.fence:",
        "place.fence == NO_EPOCH:",
        (f"{RULES}an_open_of_another_epoch_than_the_fences_opens_nothing_and_is_not_acknowledged",),
    ),
    Guard(
        "S2",
        "an Open before any Fence opens nothing",
        FOLLOW,
        "place.fence == NO_EPOCH or mark.epoch < place.fence:",
        "mark.epoch < place.fence:",
        (f"{RULES}an_open_before_any_fence_opens_nothing",),
    ),
    Guard(
        "S1",
        "an Open above the fence closes until its Fence comes",
        FOLLOW,
        "    if mark.epoch > place.fence:\n        return",
        "    if False:\n        return",
        (f"{RULES}an_open_above_the_fence_closes_until_its_fence_comes",),
    ),
    Guard(
        "S2",
        "an Open opens nobody who is unsure",
        FOLLOW,
        "if place.unsure or place.fence == NO_EPOCH",
        "if place.fence == NO_EPOCH",
        (f"{RULES}a_skipped_number_closes_until_a_fence_and_its_open",),
    ),
    Guard(
        "S4",
        "a Fence is acknowledged when resting orders are cancelled",
        PASSAGE,
        "            await self.trader.cancel_working()\n",
        "            pass\n",
        (f"{FOLLOWING}resting_orders_are_cancelled_before_a_fence_is_acknowledged",),
    ),
    Guard(
        "S4",
        "a mark is noted before it is acknowledged",
        PASSAGE,
        "        async with self._ground.journal.writing(self._world) as writing:\n"
        "            await writing.stand(place, passed)\n",
        "        if passed is not None:\n"
        "            self._acknowledgements.say(passed)\n"
        "        async with self._ground.journal.writing(self._world) as writing:\n"
        "            await writing.stand(place, passed)\n",
        (f"{FOLLOWING}a_start_that_another_one_followed_acknowledges_nothing_more",),
    ),
    Guard(
        "S4",
        "what is in doubt is settled before anything is passed",
        PASSAGE,
        "        await trader.load()\n",
        "",
        (f"{DOUBT}a_start_that_dies_between_sending_and_answer_leaves_nothing_twice_and_nothing_lost",),
    ),
    Guard(
        "S4",
        "what was acknowledged before a missed mark is not said again",
        PASSAGE,
        "        self._acknowledgements.void()\n",
        "",
        (f"{FOLLOWING}what_was_passed_before_a_missed_mark_is_not_acknowledged_any_more",),
    ),
    Guard(
        "S5",
        "a mark that was passed does nothing",
        FOLLOW,
        "    if mark.number <= place.mark:\n        return Step(place, Act.IGNORED)\n",
        "",
        (f"{RULES}a_mark_that_the_broker_delivers_again_does_nothing",),
    ),
    Guard(
        "S5",
        "a skipped mark closes",
        FOLLOW,
        "    missed = mark.number != place.mark + 1\n",
        "    missed = False\n",
        (f"{RULES}a_skipped_number_closes_until_a_fence_and_its_open",),
    ),
    Guard(
        "S5",
        "a mark of another timeline is not believed",
        FOLLOW,
        '    if place.timeline not in ("", mark.timeline):\n        return _foreign(place, mark)\n',
        "",
        (f"{RULES}a_mark_of_another_timeline_closes",),
    ),
    Guard(
        "S5",
        "another timeline is believed from a Fence above everything passed only",
        FOLLOW,
        "if mark.kind is not MarkKind.FENCE or mark.epoch <= place.fence:",
        "if mark.kind is not MarkKind.FENCE:",
        (f"{RULES}a_mark_of_another_timeline_closes",),
    ),
    Guard(
        "S5",
        "a mark that cannot be read closes",
        FOLLOW,
        "    if message.is_mark:\n        return replace(place, position=position, is_open=False, unsure=True)\n",
        "",
        (f"{RULES}what_cannot_be_read_closes_only_where_marks_stand",),
    ),
    Guard(
        "S5",
        "a stream that lost what comes next closes",
        FOLLOW,
        "    if gone > place.position:\n        return replace(place, position=gone, is_open=False, unsure=True)\n",
        "",
        (f"{RULES}a_stream_that_lost_what_comes_next_closes",),
    ),
    Guard(
        "S5",
        "another stream, or one that went back, closes",
        FOLLOW,
        "    if generation != place.generation or last < place.position:\n",
        "    if False:\n",
        (f"{RULES}another_stream_or_one_that_went_back_is_read_from_its_start_closed",),
    ),
    Guard(
        "S5",
        "a passage looks at its stream before it begins",
        PASSAGE,
        "        place = follow.on_stream(place, stream.generation, stream.first, stream.last, told.purged)\n",
        "",
        (f"{FOLLOWING}a_place_beyond_what_the_stream_still_has_closes",),
    ),
    Guard(
        "S6",
        "an Open puts its set in as a whole",
        FOLLOW,
        "replace(place, is_open=True, seats=mark.seats)",
        "replace(place, is_open=True)",
        (f"{RULES}a_fence_closes_and_an_open_of_its_epoch_opens_and_both_are_acknowledged",),
    ),
    Guard(
        "S8",
        "what a restored journal has lost is not executed again",
        FOLLOW,
        "    return replace(known, is_open=False, unsure=True, restored_mark=known.mark)\n",
        "    return replace(known, is_open=False, unsure=True)\n",
        (
            f"{RULES}a_restored_journal_is_closed_where_it_was_until_a_reseed",
            f"{RESTORED}what_a_restored_journal_has_lost_is_not_executed_again",
        ),
    ),
    Guard(
        "S8",
        "a Fence that knows nothing of a restored journal ends nothing",
        FOLLOW,
        "    if place.restored_mark is not None and mark.reseed_mark <= place.restored_mark:\n"
        "        return Step(place, Act.IGNORED)\n",
        "",
        (
            f"{RULES}a_restored_journal_is_closed_where_it_was_until_a_reseed",
            f"{RESTORED}what_a_restored_journal_has_lost_is_not_executed_again",
        ),
    ),
    Guard(
        "S8",
        "a restored journal is noticed by the first write",
        JOURNAL,
        "            if world in self._revisions and revision <= self._revisions[world]:\n"
        "                raise JournalRestoredError(world)\n",
        "",
        (f"{RESTORED}what_a_restored_journal_has_lost_is_not_executed_again",),
    ),
    Guard(
        "S8",
        "a restored journal is noticed before a passage begins from it",
        JOURNAL,
        "        if revision < self._revisions.get(world, 0):\n            raise JournalRestoredError(world)\n",
        "",
        (f"{RESTORED}a_journal_that_was_restored_during_an_outage_is_not_gone_on_from",),
    ),
    Guard(
        "S8",
        "what the venue was given counts as passed where the journal has lost it",
        PASSAGE,
        "position=max(self.place.position, self.trader.sent_position)",
        "position=self.place.position",
        (f"{RESTORED}an_order_that_the_venue_has_is_not_given_to_it_again",),
    ),
    Guard(
        "S8",
        "a restored journal is noticed where nothing is written",
        PASSAGE,
        "                ground.journal.check_restored(self._world)\n",
        "",
        (f"{RESTORED}a_restored_journal_is_noticed_where_nothing_is_written",),
    ),
    Guard(
        "S8",
        "a restored journal is not where an executor goes on from",
        PASSAGE,
        "        if lost is not None:\n"
        "            place = follow.on_restored(replace(lost, enrolment=place.enrolment))\n",
        "",
        (f"{RESTORED}what_a_restored_journal_has_lost_is_not_executed_again",),
    ),
    Guard(
        "S8",
        "an id that was taken is not executed again",
        PASSAGE,
        "        if not await self.trader.repeats(intent, position):\n",
        "        if True:\n",
        (f"{FOLLOWING}the_same_intent_again_is_answered_with_the_same_report_and_not_executed",),
    ),
    Guard(
        "S8",
        "an order is in the journal before it is sent",
        TRADER,
        "        async with self._journal.writing(self._world) as writing:\n"
        "            await writing.add(entry)\n"
        "            await self._draw(writing, line)\n"
        "            if handed.quantity:\n"
        "                await self._draw(writing, replace(handed, quantity=0.0))\n"
        "        if not may():\n"
        "            await self._forget(order)\n"
        "            raise UnsentError(intent.intent_id)\n"
        "        self.sent_position = position\n"
        "        await self._hand_over(entry)\n",
        "        await self._hand_over(entry)\n"
        "        async with self._journal.writing(self._world) as writing:\n"
        "            await writing.add(entry)\n"
        "            await self._draw(writing, line)\n"
        "            if handed.quantity:\n"
        "                await self._draw(writing, replace(handed, quantity=0.0))\n",
        (f"{DOUBT}a_start_that_dies_between_sending_and_answer_leaves_nothing_twice_and_nothing_lost",),
    ),
    Guard(
        "S8",
        "an order in doubt is settled by ending the session that may have sent it, not by absence",
        TRADER,
        "            return await venue.send(order)\n        await venue.begin()\n",
        "            return await venue.send(order)\n",
        (f"{DOUBT}an_order_that_arrives_right_after_the_venue_did_not_know_it_reaches_it_once",),
    ),
    Guard(
        "S8",
        "an order in doubt of a former enrolment is not sent again",
        TRADER,
        "            elif order.enrolment == self._enrolment:\n",
        "            elif True:\n",
        (f"{DOUBT}an_order_in_doubt_of_a_former_enrolment_is_not_sent_again",),
    ),
    Guard(
        "S8",
        "a line that is closed is not closed again",
        TRADER,
        "if on_demote is OnDemote.FLATTEN and line.quantity != 0.0:",
        "if on_demote is OnDemote.FLATTEN:",
        (f"{FOLLOWING}an_open_that_is_passed_again_closes_no_line_twice",),
    ),
    Guard(
        "S8",
        "a line is not closed behind an order in doubt that was to do so",
        TRADER,
        "            if each.is_own and self._is_of(each, line.strategy_id, line.symbol):\n",
        "            if False:\n",
        (f"{DOUBT}a_closing_order_in_doubt_of_a_former_enrolment_is_followed_by_no_other",),
    ),
    Guard(
        "S8",
        "an intent of an older bar does not come behind one of a newer",
        TRADER,
        "        if intent.bar_time < self._newest.get((intent.strategy_id, intent.symbol), intent.bar_time):\n",
        "        if False:\n",
        (f"{FOLLOWING}an_intent_of_an_older_bar_that_comes_behind_a_newer_one_is_refused",),
    ),
    Guard(
        "S8",
        "a start that another one followed writes nothing",
        JOURNAL,
        '            if newest["token"] != self.token:\n                raise self._superseded()\n            revision',
        "            revision",
        (f"{JOURNALS}a_start_that_another_one_followed_writes_nothing",),
    ),
    Guard(
        "S8",
        "a successor waits for the end of what is being written",
        JOURNAL,
        "FROM instance WHERE executor = $1 FOR SHARE",
        "FROM instance WHERE executor = $1",
        (f"{JOURNALS}a_successor_begins_when_what_is_being_written_has_ended",),
    ),
    Guard(
        "S8",
        "a fill is booked once",
        JOURNAL,
        "            if await self._add_fill(order.order.order_id, fill):\n",
        "            await self._add_fill(order.order.order_id, fill)\n            if True:\n",
        (f"{FOLLOWING}a_fill_that_a_venue_tells_twice_is_booked_once",),
    ),
    Guard(
        "S8",
        "a place that is settled never goes back",
        JOURNAL,
        "WHERE executor = $1 AND world = $2 AND position < $3",
        "WHERE executor = $1 AND world = $2",
        (f"{JOURNALS}a_place_that_is_settled_never_goes_back",),
    ),
    Guard(
        "S10",
        "a world is closed until its Open was passed",
        "qmtl_executor/model.py",
        "    is_open: bool = False\n    unsure",
        "    is_open: bool = True\n    unsure",
        (f"{RULES}an_enrolment_begins_closed_right_before_its_fence",),
    ),
    Guard(
        "S10",
        "another enrolment under the same name is closed",
        FOLLOW,
        "        mark=max(place.mark, told.enrolment - 1),\n        is_open=False,\n        unsure=True,\n",
        "        mark=max(place.mark, told.enrolment - 1),\n",
        (f"{RULES}a_new_enrolment_under_the_same_name_needs_its_own_fence_and_open",),
    ),
    Guard(
        "S10",
        "a passage that was enrolled anew begins anew",
        PASSAGE,
        "if told is not None and told.enrolment != self.place.enrolment and told.enrolment_position:",
        "if False:",
        (f"{FOLLOWING}a_start_that_is_enrolled_anew_begins_anew",),
    ),
    Guard(
        "S10",
        "a renewal that says other than the Open closes: newer, older, or not open",
        FOLLOW,
        "if told is None or not confirms(place, told):",
        "if told is None:",
        (f"{RULES}a_renewal_that_says_other_than_the_open_closes",),
    ),
    Guard(
        "S10",
        "a world that the world service does not name is closed",
        FOLLOW,
        "if told is None or not confirms(place, told):",
        "if told is not None and not confirms(place, told):",
        (f"{RULES}a_world_that_the_renewal_does_not_list_is_closed",),
    ),
    Guard(
        "S10",
        "what may pass waits until the world service has spoken since the Open",
        PASSAGE,
        "            self._before_open = self._ground.lease.asked\n",
        "",
        (f"{FOLLOWING}an_intent_waits_until_the_world_service_has_spoken_since_its_open",),
    ),
    Guard(
        "S10",
        "a renewal that was asked for before says nothing of what came since",
        LEASE,
        "while not (self._answered > number and self.is_held):",
        "while not (self._answered >= number and self.is_held):",
        (f"{LEASES}an_answer_to_what_was_asked_before_says_nothing_of_what_came_since",),
    ),
    Guard(
        "S10",
        "a world service that has lost an epoch which it told is not believed",
        LEASE,
        "return None if told is None or told.epoch < self.highest(world) else told",
        "return told",
        (f"{LEASES}a_world_service_that_has_lost_an_epoch_which_it_told_is_not_believed",),
    ),
    Guard(
        "S10",
        "an Open that is not confirmed closes no line",
        PASSAGE,
        "            return self._is_confirmed(place)\n",
        "            return True\n",
        (f"{RESTORED}an_open_of_a_life_that_is_gone_closes_no_line",),
    ),
    Guard(
        "S10",
        "what a venue's silence has held up is judged again",
        TRADER,
        "        if not may():\n"
        "            await self._forget(order)\n"
        "            raise UnsentError(intent.intent_id)\n",
        "",
        (f"{DOUBT}an_intent_is_judged_again_before_it_is_sent",),
    ),
    Guard(
        "S10",
        "without a lease what may pass waits",
        LEASE,
        "while not (self._answered > number and self.is_held):",
        "while not self._answered > number:",
        (f"{LEASES}a_lease_that_is_over_is_waited_for", f"{FOLLOWING}an_intent_waits_while_the_lease_is_lost"),
    ),
    Guard(
        "S10",
        "the lease counts from before the question",
        LEASE,
        "self._worlds, self._answered = question.asked + ttl_s,",
        "self._worlds, self._answered = time.monotonic() + ttl_s,",
        (f"{LEASES}a_lease_counts_from_before_the_question",),
    ),
    Guard(
        "S11",
        "an intent ahead of its epoch's Fence is fenced",
        FOLLOW,
        "if not place.is_open or intent.epoch > place.fence:",
        "if not place.is_open:",
        (f"{RULES}intents_are_fenced_by_where_they_stand_whatever_epoch_they_claim",),
    ),
    Guard(
        "S12",
        "a repeated Fence is acknowledged",
        FOLLOW,
        "    if mark.epoch == place.fence:\n        return Step(place, Act.STOOD, _passed(mark))\n",
        "",
        (f"{RULES}a_second_fence_of_an_epoch_that_was_passed_closes_nothing_and_is_acknowledged",),
    ),
    Guard(
        "S12",
        "who missed a mark says so at once",
        PASSAGE,
        "        self._acknowledgements.void()\n        self._ground.lease.hurry()\n",
        "        self._acknowledgements.void()\n",
        (f"{FOLLOWING}who_missed_a_mark_asks_for_a_renewal_at_once",),
    ),
    Guard(
        "S12",
        "a start says again which mark it passed last",
        PASSAGE,
        "        elif passed is not None:\n            acknowledgements.say(passed)\n",
        "",
        (f"{FOLLOWING}a_restart_says_again_which_mark_it_passed_last",),
    ),
    Guard(
        "S12",
        "what the world service did not answer is said again",
        ACKNOWLEDGE,
        "                    await asyncio.sleep(RETRY_SECONDS)\n                    continue\n",
        "                    pass\n",
        (f"{ACKNOWLEDGING}what_was_not_heard_is_said_again",),
    ),
    Guard(
        "S13",
        "a strategy that is not in the set has no orders",
        FOLLOW,
        "    if seat is None:\n        return Refused(",
        "    if seat is None:\n        return None\n    if False:\n        return Refused(",
        (f"{RULES}an_intent_stamped_otherwise_than_the_set_is_refused",),
    ),
    Guard(
        "S13",
        "an intent's stamps are those of the set of its epoch",
        FOLLOW,
        "        if given != expected:\n",
        "        if False:\n",
        (f"{RULES}an_intent_stamped_otherwise_than_the_set_is_refused",),
    ),
    Guard(
        "S13",
        "an executor takes the orders that the set routes to it",
        FOLLOW,
        '        ("executor", seat.executor, me.executor),\n',
        "",
        (f"{RULES}an_intent_whose_seat_is_anothers_is_refused",),
    ),
    Guard(
        "S13",
        "an order has the weight of the set of its epoch",
        TRADER,
        "        weight = intent.target * seat.weight\n",
        "        weight = intent.target\n",
        (f"{FOLLOWING}an_intent_behind_its_open_is_executed_once_and_reported",),
    ),
)
