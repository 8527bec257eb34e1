"""Random order streams, with lost, repeated and late messages: what is executed is judged from the stream alone.

The judge shares nothing with ``follow`` but the messages: it looks at all that stands before an executed intent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from qmtl_executor.follow import Me, enrolled, fenced, judge, pass_mark
from qmtl_executor.model import Intent, Mark, MarkKind, Seat, Taken, Told
from qmtl_foundation.execution_domain import EffectiveMode

ME = Me("paper", EffectiveMode.PAPER)
STRATEGIES = ("ann/Trend", "bob/Carry")
TOLD = Told(epoch=0, is_open=True, enrolment=1, enrolment_position=1)
BAR = datetime(2013, 3, 1, tzinfo=UTC)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["fence", "open", "open", "repeat", "redeliver", "lose", "foreign", "intent", "intent", "late", "late"]
        ),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
    min_size=10,
    max_size=60,
)


@dataclass(slots=True)
class Script:
    """Write a stream as a world, its gateways and a faulty broker would."""

    stream: list[Mark | Intent] = field(default_factory=list)
    epoch: int = 1
    number: int = 0
    is_open: bool = False
    honest: bool = True  # nothing was lost, and nothing is of another database
    sets: dict[int, dict[str, Seat]] = field(default_factory=dict)

    def mark(self, kind: MarkKind, *, lost: bool = False, timeline: str = "t1") -> None:
        self.number += 1
        seats = self.sets.setdefault(self.epoch, {}) if kind is MarkKind.OPEN else {}
        if lost:
            self.honest = False
        else:
            self.stream.append(Mark(self.number, kind, self.epoch, timeline, seats=seats))

    def step(self, what: str, a: int, b: int) -> None:
        if what in ("fence", "lose"):
            self.epoch, self.is_open = self.epoch + 1, False
            self.mark(MarkKind.FENCE, lost=what == "lose")
        elif what == "open" and not self.is_open:
            self.is_open = True
            self.sets[self.epoch] = {each: self.seat(each, a) for each in STRATEGIES[: 1 + b % 2]}
            self.mark(MarkKind.OPEN)
        elif what == "repeat":
            self.mark(MarkKind.FENCE)
            if self.is_open and b:
                self.mark(MarkKind.OPEN)
        elif what == "redeliver":
            marks = [each for each in self.stream if isinstance(each, Mark)]
            self.stream.extend(marks[a % len(marks) :][: 1 + b % 2] if marks else [])
        elif what == "foreign":
            self.honest = False
            kind = MarkKind.FENCE if b % 2 else MarkKind.OPEN
            self.stream.append(Mark(self.number + b, kind, self.epoch - a % 2, "t2", seats=self.sets.get(1, {})))
        elif what in ("intent", "late"):
            self.intent(self.epoch - (a % 4 if what == "late" else 0), a, b)

    def intent(self, epoch: int, a: int, b: int) -> None:
        """Write an intent of an epoch: now and then with another's stamp, or under an id that was used before."""
        strategy = STRATEGIES[b % 2]
        seat = self.sets.get(epoch, {}).get(strategy, self.seat(strategy, a))
        version = "version-9" if a == 7 else seat.version
        number = a if a < 2 else 100 + len(self.stream)
        self.stream.append(
            Intent(f"blake3:{number:064x}", "desk", strategy, "AAPL", 0.5, BAR, epoch, "paper", version, seat.side,
                   EffectiveMode.PAPER)
        )  # fmt: skip

    @staticmethod
    def seat(strategy: str, a: int) -> Seat:
        return Seat(strategy, f"version-{a % 2}", "long", EffectiveMode.PAPER, 0.1 * (1 + a), "paper")


def execute(stream: list[Mark | Intent]) -> dict[int, tuple[Intent, Seat]]:
    """Return what the executor takes, by place in the stream; ids are taken once, as the journal does."""
    place, taken, ids = enrolled(TOLD, "stream"), {}, set()
    for position, message in enumerate(stream, 1):
        if isinstance(message, Mark):
            place = pass_mark(place, message, position).place
            continue
        told = replace(TOLD, epoch=place.fence)  # a renewal that confirms whatever was passed
        verdict = fenced(place, message) or judge(place, message, ME, told)
        if isinstance(verdict, Taken) and message.intent_id not in ids:
            ids.add(message.intent_id)
            taken[position] = (message, verdict.seat)
        place = replace(place, position=position)
    return taken


@settings(max_examples=800, deadline=None)
@given(STEPS)
@example([("fence", 0, 0), ("lose", 0, 0), ("foreign", 0, 1), ("foreign", 0, 2), ("intent", 0, 0)])  # reseeded: rules
def test_what_is_executed_stands_where_it_may(steps: list[tuple[str, int, int]]) -> None:
    script = Script()
    script.mark(MarkKind.FENCE)
    script.step("open", 0, 1)
    for step in steps:
        script.step(*step)
    taken = execute(script.stream)
    assert len({intent.intent_id for intent, _ in taken.values()}) == len(taken), "S8: an id twice"
    for position, (intent, seat) in taken.items():
        judge_place(script.stream[: position - 1], intent, seat)
    if script.honest:
        assert set(taken) == due(script.stream), "an intent that may pass was kept"


def judge_place(before: list[Mark | Intent], intent: Intent, seat: Seat) -> None:
    """Assert S1, S2 and S13 of one executed intent, and that nothing was missed before it."""
    ours, sure = ruling([each for each in before if isinstance(each, Mark)])
    assert sure, "something was missed, and no Fence has come since"
    assert all(each.epoch <= intent.epoch for each in ours), "S1: behind a mark of a newer epoch"
    fence = max((each.epoch for each in ours if each.kind is MarkKind.FENCE), default=0)
    assert intent.epoch == fence, "S1: not of the newest Fence's epoch"
    first = next(i for i, each in enumerate(ours) if each.kind is MarkKind.FENCE and each.epoch == fence)
    opens = [each for each in ours[first:] if each.kind is MarkKind.OPEN and each.epoch == fence]
    assert opens, "S2: between a Fence and its Open"
    stated = opens[-1].seats.get(intent.strategy_id)
    assert stated == seat, "S13: another seat than the newest Open's"
    assert (intent.version, intent.side) == (seat.version, seat.side), "S13: another stamp"


def ruling(marks: list[Mark]) -> tuple[list[Mark], bool]:
    """Return the marks of the timeline that rules, and whether they are sure: no gap and no other timeline's mark since
    the last Fence that was not there before.

    A reseeded database has a timeline of its own; it rules from a Fence on that is above all marks before it. An Open
    above all Fences tells of one that was missed.
    """
    ours: list[Mark] = []
    timeline, newest, sure = "t1", 0, False
    for each in marks:
        is_fence = each.kind is MarkKind.FENCE
        if each.timeline != timeline:
            sure = False
            if not is_fence or each.epoch <= newest:
                continue
            ours, timeline = [], each.timeline
        elif ours and each.number <= ours[-1].number:
            continue  # delivered again
        follows = sure and each.number == ours[-1].number + 1 and each.epoch <= newest
        sure = (is_fence and each.epoch >= newest) or follows
        newest = max(newest, each.epoch)
        ours.append(each)
    return ours, sure


def due(stream: list[Mark | Intent]) -> set[int]:
    """Return the places of the intents that an honest stream lets pass, each id at its first."""
    found, ids = set(), set()
    epoch, seats, numbers = 0, None, set()
    for position, each in enumerate(stream, 1):
        if isinstance(each, Mark):
            if each.number in numbers:
                continue
            numbers.add(each.number)
            if each.kind is MarkKind.OPEN:
                seats = each.seats
            elif each.epoch != epoch:
                epoch, seats = each.epoch, None
        elif seats is not None and each.epoch == epoch and each.intent_id not in ids:
            seat = seats.get(each.strategy_id)
            if seat is not None and seat.version == each.version:
                found.add(position)
                ids.add(each.intent_id)
    return found
