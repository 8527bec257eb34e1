"""What became of the intents of some histories: executed, fenced, refused, or sent again when the answer was there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from tests.faults.history.facts import History


@dataclass(frozen=True, slots=True)
class Tally:
    """Count messages of the order stream by what was done with each; ``again`` are answered by an earlier one's row."""

    intents: int
    executed: int
    fenced: int
    refused: int

    @classmethod
    def of(cls, histories: Iterable[History]) -> Self:
        """Count what stands in some streams and journals."""
        intents, executed, outcomes = 0, 0, Counter[str]()
        for each in histories:
            intents += len(each.intents)
            executed += sum(order.position > 0 for order in each.journal)  # 0: an executor's own
            outcomes.update(one.outcome for one in each.turned_away)
        return cls(intents, executed, outcomes["fenced"], outcomes["refused"])

    @property
    def again(self) -> int:
        """Return how many came under an id that had its answer: S12 holds that each intent has one."""
        return self.intents - self.executed - self.fenced - self.refused

    def __str__(self) -> str:
        """Return the counts as words."""
        return (
            f"{self.intents:,} intents: {self.executed:,} executed, {self.fenced:,} fenced, {self.refused:,} refused, "
            f"{self.again:,} sent again under an id that had its answer"
        )
