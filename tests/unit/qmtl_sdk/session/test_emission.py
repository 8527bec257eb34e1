"""What is sent, so that the executor does what the backtest did: by mode, after fences, crashes and closed gates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from numpy.typing import NDArray

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.execution_model import ExecutionModel, Rebalance
from qmtl_sdk.backtest.accounting import account
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.session.emission import Emission
from qmtl_sdk.session.journal import IntentJournal
from qmtl_sdk.session.model import Outcome, Report, Wish

DAY_NS = 86_400 * 10**9
SYMBOLS = ("A", "B")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[IntentJournal]:
    with IntentJournal.open(tmp_path / "journal.db") as opened:
        yield opened


def emission(journal: IntentJournal, rebalance: Rebalance = Rebalance.ON_CHANGE) -> Emission:
    return Emission("equity", "ana/Trend", SYMBOLS, rebalance, journal)


def targets(*weights: float) -> NDArray[np.float64]:
    return np.array(weights)


def sent(emission: Emission, journal: IntentJournal, epoch: int = 1) -> dict[str, float]:
    """Send what is due and return it by symbol."""
    due = emission.due(epoch)
    journal.write(due, epoch)
    journal.accepted([wish.intent_id for wish in due])
    return {wish.symbol: wish.target for wish in due}


def fenced(wish: Wish, epoch: int) -> Report:
    return Report(1, wish.intent_id, epoch, Outcome.FENCED)


def test_first_targets_are_sent_flat_ones_too(journal: IntentJournal) -> None:
    stated = emission(journal)
    stated.state(DAY_NS, targets(0.0, np.nan))
    assert sent(stated, journal) == {"A": 0.0}
    assert sent(stated, journal) == {}


def test_on_change_sends_what_differs(journal: IntentJournal) -> None:
    stated = emission(journal)
    for bar, (weights, expected) in enumerate(
        [((0.5, 0.2), {"A": 0.5, "B": 0.2}), ((0.5, 0.3), {"B": 0.3}), ((np.nan, np.nan), {}), ((0.5, 0.3), {})]
    ):
        stated.state(bar * DAY_NS, targets(*weights))
        assert sent(stated, journal) == expected


@pytest.mark.parametrize("rebalance", [Rebalance.EVERY_BAR, Rebalance.DRIFT])
def test_other_modes_send_every_stated_target(journal: IntentJournal, rebalance: Rebalance) -> None:
    stated = emission(journal, rebalance)
    stated.state(0, targets(0.5, 0.2))
    assert sent(stated, journal) == {"A": 0.5, "B": 0.2}
    stated.state(DAY_NS, targets(0.5, np.nan))
    assert sent(stated, journal) == {"A": 0.5}


def test_first_bar_of_an_epoch_states_everything_again(journal: IntentJournal) -> None:
    stated = emission(journal)
    stated.state(0, targets(0.5, 0.2))
    sent(stated, journal, epoch=1)
    assert sent(stated, journal, epoch=2) == {}  # this bar's ids are taken
    stated.state(DAY_NS, targets(0.5, 0.2))
    assert sent(stated, journal, epoch=2) == {"A": 0.5, "B": 0.2}


def test_newest_targets_of_closed_bars_are_sent_at_the_opening(journal: IntentJournal) -> None:
    stated = emission(journal)
    for bar, weights in enumerate([(0.5, 0.2), (0.6, np.nan), (0.7, np.nan)]):
        stated.state(bar * DAY_NS, targets(*weights))
    due = {wish.symbol: (wish.target, wish.bar_time.day) for wish in stated.due(1)}
    assert due == {"A": (0.7, 3), "B": (0.2, 1)}


def test_unclear_send_is_repeated_under_its_id_until_a_newer_target(journal: IntentJournal) -> None:
    stated = emission(journal)
    stated.state(0, targets(0.5, np.nan))
    (wish,) = stated.due(1)
    journal.write([wish], 1)
    assert stated.due(1) == stated.due(2) == [wish]
    stated.state(DAY_NS, targets(0.6, np.nan))
    (newer,) = stated.due(2)
    assert newer.intent_id != wish.intent_id


def test_fenced_intent_is_sent_again_under_a_newer_epoch_only(journal: IntentJournal) -> None:
    stated = emission(journal)
    stated.state(0, targets(0.5, np.nan))
    (wish,) = stated.due(1)
    sent(stated, journal, epoch=1)
    journal.reported(fenced(wish, 1))
    assert stated.due(1) == []
    assert stated.due(2) == [wish]


def test_intent_that_its_executor_kept_back_within_the_epoch_is_told_apart(journal: IntentJournal) -> None:
    stated = emission(journal)
    stated.state(0, targets(0.5, 0.25))
    wish, other = stated.due(1)
    sent(stated, journal, epoch=1)
    assert stated.kept_back(1) == []
    journal.reported(fenced(wish, 1))
    assert (stated.kept_back(1), stated.kept_back(2)) == ([wish], [])
    journal.reported(Report(2, other.intent_id, 1, Outcome.FILLED))
    stated.state(DAY_NS, targets(0.6, np.nan))
    assert stated.kept_back(1) == []  # a newer target of its symbol is what is sent now


def test_replayed_bar_before_the_newest_is_past_whatever_came_of_its_intent(journal: IntentJournal) -> None:
    first = emission(journal)
    for bar, target in enumerate((0.1, 0.2, 0.3)):
        first.state(bar * DAY_NS, targets(target, np.nan))
        (wish,) = first.due(1)
        journal.write([wish], 1)
        if bar != 1:
            journal.reported(fenced(wish, 1))
    again = emission(journal)
    for bar, target in enumerate((0.1, 0.2)):  # kept back, and not known to be stored
        again.state(bar * DAY_NS, targets(target, np.nan))
        assert again.due(1) == again.kept_back(1) == again.due(2) == []
    again.state(2 * DAY_NS, targets(0.3, np.nan))
    assert again.kept_back(1) == again.due(2) == [wish]


def test_fenced_target_is_stated_again_by_the_next_bar(journal: IntentJournal) -> None:
    stated = emission(journal)
    stated.state(0, targets(0.5, np.nan))
    (wish,) = stated.due(1)
    sent(stated, journal)
    journal.reported(fenced(wish, 1))
    stated.state(DAY_NS, targets(0.5, np.nan))
    assert sent(stated, journal) == {"A": 0.5}


def test_target_that_another_version_stated_for_the_bar_is_left_to_the_next(journal: IntentJournal) -> None:
    before, after = emission(journal), emission(journal)
    before.state(0, targets(0.5, np.nan))
    journal.write(before.due(1), 1)
    after.state(0, targets(0.6, np.nan))
    assert after.due(1) == []
    after.state(DAY_NS, targets(0.6, np.nan))
    assert sent(after, journal) == {"A": 0.6}


@pytest.mark.parametrize("rebalance", Rebalance)
def test_runner_that_starts_again_sends_nothing_of_past_bars(journal: IntentJournal, rebalance: Rebalance) -> None:
    history = [(0.5, 0.1), (0.5, 0.2), (0.6, np.nan), (0.0, 0.2)]
    before = emission(journal, rebalance)
    for bar, weights in enumerate(history):
        before.state(bar * DAY_NS, targets(*weights))
        sent(before, journal)
    again = emission(journal, rebalance)
    for bar, weights in enumerate(history):
        again.state(bar * DAY_NS, targets(*weights))
        assert sent(again, journal) == {}
    again.state(len(history) * DAY_NS, targets(0.7, 0.3))
    assert sent(again, journal) == {"A": 0.7, "B": 0.3}


@pytest.mark.parametrize("target", [1.5, -1.01, np.inf])
def test_target_beyond_what_an_order_may_ask_is_named(journal: IntentJournal, target: float) -> None:
    with pytest.raises(QmtlError, match=r"of B at 1970-01-02T00:00:00Z is outside \[-1, 1\]"):
        emission(journal).state(DAY_NS, targets(0.1, target))


@pytest.mark.parametrize(
    "model",
    [
        ExecutionModel(slippage_bp=2, fee_bp=1),
        ExecutionModel(slippage_bp=2, rebalance=Rebalance.EVERY_BAR),
        ExecutionModel(fee_bp=1, rebalance=Rebalance.DRIFT, drift=0.05, can_short=True),
    ],
)
def test_what_is_sent_has_the_account_of_all_targets(journal: IntentJournal, model: ExecutionModel) -> None:
    random, bars = np.random.default_rng(5), 300
    prices = 100.0 * np.exp(np.cumsum(random.normal(scale=0.02, size=(bars, 2)), axis=0))
    stated = np.round(random.uniform(-0.4 if model.can_short else 0.0, 0.5, size=(bars, 2)), 1)
    stated[random.uniform(size=stated.shape) < 0.3] = np.nan
    stated[50:90] = stated[50]
    emitted, emitter = np.full(stated.shape, np.nan), emission(journal, model.rebalance)
    for bar in range(bars):
        emitter.state(bar * DAY_NS, stated[bar])
        for symbol, target in sent(emitter, journal).items():
            emitted[bar, SYMBOLS.index(symbol)] = target
    assert (
        np.count_nonzero(~np.isnan(emitted)) < np.count_nonzero(~np.isnan(stated))
        or model.rebalance.value != "on_change"
    )
    panel = Panel(np.arange(bars) * DAY_NS, SYMBOLS, {"open": prices, "close": prices * 1.001}, 86_400)
    one, other = account(panel, emitted, model), account(panel, stated, model)
    assert one.equity.tobytes() == other.equity.tobytes()
    assert one.fills.size.tobytes() == other.fills.size.tobytes()


@dataclass(slots=True)
class Executor:
    """Take each id once behind the newest fence, in the order of the stream, as an executor does."""

    fence: int = 1
    is_open: bool = True
    taken: dict[str, Wish] = field(default_factory=dict)
    standing: dict[str, Wish] = field(default_factory=dict)

    def take(self, wish: Wish, epoch: int) -> Outcome:
        if wish.intent_id not in self.taken:
            if epoch < self.fence or not self.is_open:
                return Outcome.FENCED
            self.taken[wish.intent_id] = self.standing[wish.symbol] = wish
        assert self.taken[wish.intent_id] == wish, "an id with another content"
        return Outcome.FILLED


class EmissionMachine(RuleBasedStateMachine):
    """Lose answers and reports, fence what is on its way, kill the runner: in the end the executor has the targets."""

    @initialize(rebalance=st.sampled_from(Rebalance))
    def begin(self, rebalance: Rebalance) -> None:
        self.folder = TemporaryDirectory()
        self.rebalance = rebalance
        self.executor = Executor()
        self.stream: list[tuple[Wish, int]] = []
        self.mail: list[Report] = []
        self.bars: list[NDArray[np.float64]] = []
        self.epoch = 1
        self.start()

    def start(self) -> None:
        """Begin a runner: it is fed the history again, and sends nothing meanwhile."""
        self.journal = IntentJournal.open(Path(self.folder.name) / "journal.db")
        self.emission = emission(self.journal, self.rebalance)
        for bar, weights in enumerate(self.bars):
            self.emission.state(bar * DAY_NS, weights)

    @rule(a=st.sampled_from([np.nan, 0.0, 0.5]), b=st.sampled_from([0.1, 0.2]))
    def bar(self, a: float, b: float) -> None:
        self.bars.append(targets(a, b))
        self.emission.state((len(self.bars) - 1) * DAY_NS, self.bars[-1])

    @rule(stored=st.booleans(), answered=st.booleans())
    def send(self, stored: bool, answered: bool) -> None:
        due = self.emission.due(self.epoch) + self.emission.kept_back(self.epoch)
        self.journal.write(due, self.epoch)
        if stored:
            self.stream += [(wish, self.epoch) for wish in due]
            if answered:
                self.journal.accepted([wish.intent_id for wish in due])

    @rule()
    def apply(self) -> None:
        """Fence, and open at the next epoch; what stands in the stream is behind the fence."""
        self.executor.fence = self.epoch = self.epoch + 1

    @rule()
    def miss(self) -> None:
        """Let the executor miss a mark: closed, though the world is open, until the marks are written again."""
        self.executor.is_open = False

    @rule()
    def pass_again(self) -> None:
        self.executor.is_open = True

    @rule(count=st.integers(1, 4))
    def execute(self, count: int) -> None:
        for wish, epoch in self.stream[:count]:
            outcome = self.executor.take(wish, epoch)
            self.mail.append(Report(len(self.mail) + 1, wish.intent_id, epoch, outcome))
        del self.stream[:count]

    @precondition(lambda self: self.mail)
    @rule(at=st.integers(0, 99), again=st.booleans())
    def hear(self, at: int, again: bool) -> None:
        report = self.mail[at % len(self.mail)]
        self.journal.reported(report)
        if not again:
            self.mail.remove(report)

    @rule()
    def kill(self) -> None:
        self.journal._connection.close()  # nothing is committed, as when a process dies
        self.start()

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        self.bar(np.nan, 0.3)
        self.bar(0.7, 0.1)
        self.send(stored=True, answered=True)
        self.execute(len(self.stream) or 1)
        self.pass_again()
        for _ in range(3):  # without another bar: whatever was lost or kept back is sent again
            self.send(stored=True, answered=True)
            self.execute(len(self.stream) or 1)
            while self.mail:
                self.hear(0, again=False)
        assert {symbol: wish.target for symbol, wish in self.executor.standing.items()} == {"A": 0.7, "B": 0.1}
        assert self.emission.due(self.epoch) == self.emission.kept_back(self.epoch) == []
        self.journal.__exit__(None, None, None)
        self.folder.cleanup()


TestEmissionMachine = EmissionMachine.TestCase
TestEmissionMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
