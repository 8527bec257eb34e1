"""The terms under which a strategy computes: the world's decision, asked for or last known, through the one mapping."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import DecisionTerms, DowngradeReason, derive_context
from qmtl_foundation.telemetry import LabelledCounter
from qmtl_gateway.submission.model import Decision, Terms
from qmtl_gateway.submission.upstream import Upstreams

MAX_REMEMBERED: Final = 100_000

_UNANSWERED: Final = frozenset({Reason.DEPENDENCY_UNAVAILABLE, Reason.DEADLINE_EXCEEDED, Reason.INTERNAL})


class Decisions:
    """Remember each strategy version's last decision, and derive compute contexts; count every downgrade."""

    def __init__(self, upstreams: Upstreams, downgrades: LabelledCounter, clock: Clock) -> None:
        self._upstreams = upstreams
        self._downgrades = downgrades
        self._clock = clock
        self._known: OrderedDict[tuple[str, str, str], Decision] = OrderedDict()

    def remember(self, decision: Decision, strategy_version: str) -> None:
        """Keep a decision for when the world service does not answer; the oldest is forgotten first."""
        key = (decision.world, decision.strategy_id, strategy_version)
        self._known[key] = decision
        self._known.move_to_end(key)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    async def resolve(self, world: str, strategy_id: str, strategy_version: str) -> Decision | None:
        """Return a fresh decision, else the last known one, else None.

        Raises what the world service says of the request itself, such as WORLD_NOT_FOUND.
        """
        try:
            decision = await self._upstreams.decide(world, strategy_id, strategy_version)
        except QmtlError as error:
            if error.reason not in _UNANSWERED:
                raise
            return self._known.get((world, strategy_id, strategy_version))
        self.remember(decision, strategy_version)
        return decision

    def derive(
        self, world: str, decision: Decision | None, *, hint: str, as_of: str, dataset_fingerprint: str
    ) -> Terms:
        """Derive the compute context of a decision; a decision that is missing or stale means compute-only."""
        now = self._clock()
        known = (
            None
            if decision is None
            else DecisionTerms(decision.effective_mode, decision.allow_live, decision.expire_time)
        )
        context = derive_context(known, hint=hint, as_of=as_of, dataset_fingerprint=dataset_fingerprint, now=now)
        for reason in context.reasons:
            self._downgrades.add(reason.value)
        stale = {DowngradeReason.DECISION_UNAVAILABLE, DowngradeReason.DECISION_STALE} & set(context.reasons)
        expire_time = now if decision is None or stale else decision.expire_time
        return Terms(world, context, as_of, dataset_fingerprint, expire_time)
