"""The journal of intents: on disk before the first send, whatever happens after."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.session.journal import Entry, IntentJournal, State
from qmtl_sdk.session.model import Outcome, Report, Wish

BAR = datetime(2013, 3, 1, 21, 0, 0, 125, tzinfo=UTC)
ONE = Wish("blake3:1", "AAPL", BAR, 0.1 + 0.2)
TWO = Wish("blake3:2", "MSFT", BAR, -0.0)
LATER = Wish("blake3:3", "AAPL", BAR + timedelta(days=1), 0.5)


def report(wish: Wish, outcome: Outcome, epoch: int = 4, position: int = 7) -> Report:
    return Report(position, wish.intent_id, epoch, outcome)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "equity" / "trend.db"


def test_written_intents_are_found_with_the_bits_of_their_targets(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.write([ONE, TWO], epoch=4)
    with IntentJournal.open(path) as journal:
        found = journal.find(["blake3:1", "blake3:2", "blake3:9"])
    assert found == {wish.intent_id: Entry(wish, 4, State.WRITTEN) for wish in (ONE, TWO)}
    assert found["blake3:1"].wish.target.hex() == ONE.target.hex()


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from qmtl_sdk.session.journal import IntentJournal
from qmtl_sdk.session.model import Wish
journal = IntentJournal.open(Path(sys.argv[1]))
journal.write([Wish("blake3:1", "AAPL", datetime(2013, 3, 1, tzinfo=UTC), 0.5)], 4)
journal.accepted(["blake3:1"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_process_leaves_what_it_wrote_and_may_send_again_what_was_answered(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with IntentJournal.open(path) as journal:
        assert journal.find(["blake3:1"])["blake3:1"].state is State.WRITTEN


def test_one_process_at_a_time(path: Path) -> None:
    with IntentJournal.open(path), pytest.raises(QmtlError, match="another process runs this strategy") as caught:
        IntentJournal.open(path)
    assert caught.value.reason is Reason.FOREIGN_INCARNATION
    with IntentJournal.open(path) as journal:
        assert journal.report_position() is None


def test_file_that_is_no_journal_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("once upon a time " * 500)
    with pytest.raises(QmtlError, match="is no journal of intents") as caught:
        IntentJournal.open(path)
    assert caught.value.reason is Reason.DATA_INVALID


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QmtlError, match=r"cannot be kept in .*trend\.db") as caught:
        IntentJournal.open(tmp_path / "file" / "trend.db")
    assert caught.value.reason is Reason.NOT_CONFIGURED


def test_only_what_an_executor_has_stands(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.write([ONE], epoch=4)
        assert journal.standing("AAPL", 4) is None
        journal.accepted([ONE.intent_id])
        assert journal.standing("AAPL", 4) == ONE.target
        for outcome in (Outcome.WORKING, Outcome.FILLED, Outcome.UNCHANGED):
            journal.reported(report(ONE, outcome))
            assert journal.standing("AAPL", 4) == ONE.target
        assert journal.standing("AAPL", 5) is None
        assert journal.standing("MSFT", 4) is None
        for outcome in (Outcome.REFUSED, Outcome.CANCELLED, Outcome.FENCED):
            journal.reported(report(ONE, outcome))
            assert journal.standing("AAPL", 4) is None


def test_newest_bar_is_that_of_a_symbol_or_of_any(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        assert journal.newest_bar() is None
        journal.write([TWO, LATER], epoch=4)
        assert journal.newest_bar() == journal.newest_bar("AAPL") == LATER.bar_time
        assert (journal.newest_bar("MSFT"), journal.newest_bar("IBM")) == (TWO.bar_time, None)


def test_newest_bar_stands_and_a_fenced_one_gives_way_to_the_one_before(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.write([LATER, ONE], epoch=4)
        journal.accepted([LATER.intent_id, ONE.intent_id])
        assert journal.standing("AAPL", 4) == LATER.target
        journal.reported(report(LATER, Outcome.FENCED))
        assert journal.standing("AAPL", 4) == ONE.target


def test_fence_of_an_epoch_before_the_last_sending_changes_nothing(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.write([ONE], epoch=4)
        assert journal.reported(report(ONE, Outcome.FENCED, epoch=4))
        journal.write([ONE], epoch=5)
        journal.accepted([ONE.intent_id])
        assert not journal.reported(report(ONE, Outcome.FENCED, epoch=4))
        assert journal.find([ONE.intent_id])[ONE.intent_id] == Entry(ONE, 5, State.ACCEPTED)


def test_execution_counts_under_whatever_epoch(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.write([ONE], epoch=5)
        assert journal.reported(report(ONE, Outcome.FILLED, epoch=4))
        assert not journal.reported(report(ONE, Outcome.FILLED, epoch=4))
        journal.accepted([ONE.intent_id])  # the answer was slower than the report
        assert journal.find([ONE.intent_id])[ONE.intent_id].state is State.FILLED


def test_refused_intent_does_not_stand_and_intents_are_counted_by_state(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        assert (journal.newest_bar("AAPL"), journal.count()) == (None, 0)
        journal.write([LATER, ONE, TWO], epoch=4)
        journal.accepted([ONE.intent_id])
        journal.refused(LATER.intent_id)
        assert journal.standing("AAPL", 4) == ONE.target
        assert journal.newest_bar("AAPL") == LATER.bar_time
        assert (journal.count(), journal.count(State.ACCEPTED, State.REFUSED), journal.count(State.FENCED)) == (3, 2, 0)


def test_place_behind_which_reports_will_stand_is_kept_with_the_first_intents(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.write([ONE], 4, report_position=3)
        journal.write([TWO], 4, report_position=8)
        assert journal.report_position() == 3
        journal.reported(report(ONE, Outcome.FILLED, position=12))
        assert journal.report_position() == 12


def test_place_of_the_last_report_is_kept_and_never_goes_back(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.reported(report(ONE, Outcome.FILLED, position=12))
        journal.reported(report(TWO, Outcome.FILLED, position=9))
    with IntentJournal.open(path) as journal:
        assert journal.report_position() == 12


def test_place_of_the_last_report_goes_back_where_their_stream_is_another_one(path: Path) -> None:
    with IntentJournal.open(path) as journal:
        journal.reports_begin(2)
        assert journal.report_position() is None  # nothing was sent
        journal.reported(report(ONE, Outcome.FILLED, position=12))
        journal.reports_begin(20)
        assert journal.report_position() == 12
        journal.reports_begin(2)
        journal.reported(report(TWO, Outcome.FILLED, position=3))
    with IntentJournal.open(path) as journal:
        assert journal.report_position() == 3


def test_many_intents_are_found_at_once(path: Path) -> None:
    wishes = [replace(ONE, intent_id=f"blake3:{number}", symbol=f"S{number}") for number in range(1_200)]
    with IntentJournal.open(path) as journal:
        journal.write(wishes, epoch=1)
        assert len(journal.find([wish.intent_id for wish in wishes])) == 1_200
