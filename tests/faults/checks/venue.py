"""S8: one intent reaches a venue at most once, and what executors book is what the venue did."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from tests.faults.checks.view import View
from tests.faults.checks.violation import Violation
from tests.faults.history.facts import JournalOrder, PaperOrder

SHARES_GRAIN: Final = 1e-6  # sums are added in different orders
UNFILLED: Final = frozenset({"sending", "rejected", "unchanged"})
FINAL: Final = frozenset({"filled", "cancelled", "rejected", "unchanged"})

Key = TypeVar("Key")


def check_at_most_once(view: View) -> Iterator[Violation]:
    """S8: sent once, taken once, filled once; states, fills, lines and the venue's books agree."""
    yield from _check_sent(view)
    yield from _check_taken(view)
    yield from _check_journal_first(view)
    yield from _check_states(view)
    yield from _check_fills(view)
    yield from _check_lines(view)
    yield from _check_accounts(view)


def _check_sent(view: View) -> Iterator[Violation]:
    """Count how often each id was sent; one that was forgotten must have been unknown to the venue."""
    sent: Counter[str] = Counter()
    taken = {each.after.order_id: each for each in view.history.changes.paper_orders if not each.before and each.after}
    for change in view.history.changes.orders:
        before, after = change.before, change.after
        if before is None and after is not None and after.state != "unchanged":
            sent[after.order_id] += 1
            if sent[after.order_id] > 1:
                yield _broken(f"{_named(after)} was sent again at {change.at}, at {after.position}")
        if after is None and before is not None:
            sent[before.order_id] -= 1
            known = taken.get(before.order_id)
            if known is not None and known.id < change.id:
                yield _broken(f"{_named(before)} was forgotten at {change.at}; the venue has it since {known.at}")
        if before is not None and after is not None and before.state in FINAL and after.state != before.state:
            yield _broken(f"{_named(after)} was {before.state} and became {after.state} at {change.at}")


def _check_taken(view: View) -> Iterator[Violation]:
    """Look for ids that several executors have, or that the venue got more than once."""
    for order_id, count in Counter(each.order_id for each in view.history.journal).items():
        if count > 1:
            yield _broken(f"order {order_id[-8:]} stands in {count} journals")
    inserted = [each.after for each in view.history.changes.paper_orders if each.before is None and each.after]
    for order_id, count in Counter(each.order_id for each in inserted).items():
        if count > 1:
            yield _broken(f"order {order_id[-8:]} reached the venue {count} times")


def _check_journal_first(view: View) -> Iterator[Violation]:
    """Look for orders that the venue got before the journal had them."""
    noted = {each.after.order_id: each for each in reversed(view.history.changes.orders) if each.after}
    for change in view.history.changes.paper_orders:
        if change.before is None and change.after is not None:
            known = noted.get(change.after.order_id)
            if known is not None and known.id > change.id:
                yield _broken(f"the venue got order {change.after.order_id[-8:]} at {change.at}, before the journal")


def _check_states(view: View) -> Iterator[Violation]:
    """Compare each order with the venue's own book; at rest nothing lags behind."""
    history = view.history
    paper = {(each.executor, each.order_id): each for each in history.paper_orders}
    journal = {(each.executor, each.order_id): each for each in history.journal}
    venues = {each.executor for each in history.paper_accounts}
    for key, taken in paper.items():
        if key not in journal:
            yield _broken(
                f"the venue has order {taken.order_id[-8:]}, of which {taken.executor}'s journal knows nothing"
            )
    for key, order in journal.items():
        known = paper.get(key)
        if order.executor in venues and not _agree(order, known, at_rest=history.at_rest):
            yield _broken(f"{_named(order)} is {order.state}, at the venue {known.state if known else 'unknown'}")


def _agree(order: JournalOrder, known: PaperOrder | None, *, at_rest: bool) -> bool:
    if known is None:
        return order.state in ("unchanged", "sending")  # one at its target already, or not handed over yet
    if order.state == known.state:
        return True
    return not at_rest and (order.state == "sending" or (order.state, known.state in FINAL) == ("working", True))


def _check_fills(view: View) -> Iterator[Violation]:
    history = view.history
    paper = {(each.executor, each.order_id): each for each in history.paper_orders}
    counts: Counter[tuple[str, str]] = Counter((each.executor, each.order_id) for each in history.fills)
    for key, count in counts.items():
        if key in paper and count > 1:
            yield _broken(f"order {key[1][-8:]} has {count} fills on paper")
    for fill in history.fills:
        known = paper.get((fill.executor, fill.order_id))
        if known is not None and (fill.quantity, fill.price, fill.fee) != (known.shares, known.price, known.fee):
            text = f"{fill.quantity} at {fill.price}, on paper {known.shares} at {known.price}"
            yield _broken(f"order {fill.order_id[-8:]} is booked as {text}")
    for order in history.journal:
        fills = counts[order.executor, order.order_id]
        if fills == 0 if order.state == "filled" else fills > 0 and order.state in UNFILLED:
            yield _broken(f"{_named(order)} is {order.state} with {fills} fills")
    for change in history.changes.fills:
        if change.before is not None:
            yield _broken(f"fill of order {change.before.order_id[-8:]} was changed at {change.at}")


def _check_lines(view: View) -> Iterator[Violation]:
    """Compare the sums of fills with lines: by strategy, or by symbol where one may be handed to another."""
    history = view.history
    ruined = {each.executor for each in history.paper_accounts if each.is_ruined}
    handed = any(each.on_demote == "hand_over" for each in view.marks) or not all(
        each.strategy_id for each in history.lines
    )
    orders = {(each.executor, each.order_id): each for each in history.journal}
    filled: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    held: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for fill in history.fills:
        order = orders.get((fill.executor, fill.order_id))
        if order is None:
            yield _broken(f"a fill of order {fill.order_id[-8:]}, which is in no journal")
        else:
            filled[order.executor, "" if handed else order.strategy_id, order.symbol] += fill.quantity
    for line in history.lines:
        held[line.executor, "" if handed else line.strategy_id, line.symbol] += line.quantity
    for key, quantity, booked in _different(filled, held):
        if key[0] not in ruined:
            yield _broken(f"{' '.join(key)}: fills sum to {quantity}, the line is {booked}")


def _check_accounts(view: View) -> Iterator[Violation]:
    """Compare what the venue filled with what its account holds."""
    filled: defaultdict[tuple[str, str], float] = defaultdict(float)
    held: defaultdict[tuple[str, str], float] = defaultdict(float)
    ruined = {each.executor for each in view.history.paper_accounts if each.is_ruined}
    for order in view.history.paper_orders:
        filled[order.executor, order.symbol] += order.shares
    for account in view.history.paper_accounts:
        for symbol, shares in account.shares.items():
            held[account.executor, symbol] += shares
    for key, quantity, shares in _different(filled, held):
        if key[0] in ruined:
            continue
        yield _broken(f"{' '.join(key)}: the venue filled {quantity}, its account has {shares}")


def _different(one: Mapping[Key, float], other: Mapping[Key, float]) -> Iterator[tuple[Key, float, float]]:
    for key in {**one, **other}:
        quantities = one.get(key, 0.0), other.get(key, 0.0)
        if not math.isclose(*quantities, rel_tol=SHARES_GRAIN, abs_tol=SHARES_GRAIN):
            yield (key, *quantities)


def _named(order: JournalOrder) -> str:
    return f"order {order.order_id[-8:]} of {order.executor}"


def _broken(what: str) -> Violation:
    return Violation("S8", what)
