"""The words of an evaluation: policy, facts about one strategy, outcomes of rules, the decision of a round.

Frozen values, no I/O and no libraries, so that a service imports it at start for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from qmtl_world.allocation.weights import WeightRules
from qmtl_world.apply.model import RunTerms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Rules of the world itself, beside the sections of a policy ("data.max_age_days"), its gates and the proofs' findings.
SCORE_RULE: Final = "score"
NO_TARGET_RULE: Final = "no_target"


class Apply(StrEnum):
    """Say whether a round's activation set is switched by itself or waits for an operator."""

    AUTO = "auto"
    MANUAL = "manual"


class Side(StrEnum):
    """Say to which side a strategy leans on average; a neutral one counts towards the total top-k only."""

    LONG = "long"
    SHORT = "short"
    NEUTRAL = "neutral"


class Status(StrEnum):
    """Say what the evaluation found: fit for selection, failing a rule of the policy, or refused by a proof."""

    VALID = "valid"
    INVALID = "invalid"
    REJECTED = "rejected"


class ProofState(StrEnum):
    """Say what the SDK's two proofs found; the values of findings are the names of the rules that reject."""

    PROVEN = "proven"
    LOOK_AHEAD = "look_ahead"
    SHORT_WARM_UP = "warm_up_too_short"
    NOT_RESUMABLE = "not_resumable"
    NOT_DETERMINISTIC = "not_deterministic"
    MISSING = "unproven"


FINDINGS: Final = (
    ProofState.LOOK_AHEAD,
    ProofState.SHORT_WARM_UP,
    ProofState.NOT_RESUMABLE,
    ProofState.NOT_DETERMINISTIC,
)


@dataclass(frozen=True, slots=True)
class DataRules:
    """Limit how old and how patchy the data of an evaluation may be. Days are calendar days, coverage is in [0, 1]."""

    max_behind_days: float | None = 7.0
    max_age_days: float | None = None
    min_coverage: float = 0.99


@dataclass(frozen=True, slots=True)
class SampleRules:
    """Limit how short the sample of an evaluation may be."""

    min_bars: int = 252
    min_trades: int = 0


@dataclass(frozen=True, slots=True)
class GateRule:
    """Hold one gate: a CEL expression of type BOOL, and the bars that its metrics need (None: the sample's)."""

    name: str
    rule: str
    min_bars: int | None = None


@dataclass(frozen=True, slots=True)
class SelectRules:
    """Limit how many strategies are active: in total, and of each side (None: as the total)."""

    top_k: int
    top_k_long: int | None = None
    top_k_short: int | None = None


@dataclass(frozen=True, slots=True)
class ConstraintRules:
    """Limit how alike the active strategies are, and how exposed each of them (None: unlimited).

    Strategy weights sum to at most 1, so a limit on each strategy's exposure holds for the world's, whatever the
    weights. Exposures are fractions of the strategy's capital, at their worst bar.
    """

    max_correlation: float | None = None
    max_gross: float | None = None
    max_abs_net: float | None = None
    max_symbol_weight: float | None = None


@dataclass(frozen=True, slots=True)
class HysteresisRules:
    """Say how many distinct ``as_of`` rounds a change takes, and how many an activation lasts at least."""

    promote_after: int = 1
    demote_after: int = 1
    min_dwell_rounds: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """Hold one version of a world's policy, as docs/policies.md describes it."""

    gates: tuple[GateRule, ...]
    select: SelectRules
    score: str = "metrics.sharpe"
    apply: Apply = Apply.AUTO
    data: DataRules = DataRules()
    sample: SampleRules = SampleRules()
    constraints: ConstraintRules = ConstraintRules()
    hysteresis: HysteresisRules = HysteresisRules()
    weights: WeightRules = field(default_factory=WeightRules)
    runs: RunTerms = field(default_factory=RunTerms)


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """Say on how much an evaluation rests; ``trials`` counts every version and sweep cell that the world has seen."""

    bars: int
    years: float
    trades: int
    trials: int = 1


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Say how current and complete the data is.

    ``age_days`` from its end to now, ``behind_days`` from its snapshot to the preset's newest, ``coverage`` in [0, 1].
    """

    age_days: float = 0.0
    behind_days: float = 0.0
    coverage: float = 1.0
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """Say how exposed a strategy's targets are at their worst bar, as fractions of its capital; NaN without targets."""

    max_gross: float
    max_abs_net: float
    max_weight: float


@dataclass(frozen=True, slots=True)
class Proof:
    """Hold the result of the two proofs; ``finding`` names the node and the bar of a finding, for people."""

    state: ProofState
    finding: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ReturnSeries:
    """Hold simple returns per bar: ``ts`` int64 [n] ns UTC of the bar's close, ascending; ``ret`` float64 [n]."""

    ts: NDArray[np.int64]
    ret: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold all that a rule may ask of one strategy; a metric that is absent or NaN is undefined."""

    metrics: Mapping[str, float]
    sample: SampleFacts
    data: DataFacts
    risk: RiskFacts


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Hold one strategy of a cohort: its facts, proofs and returns.

    Without ``has_target`` it is never activated, nor with ``blockers``: what the world asks of every promotion, failed.
    """

    strategy_id: str
    facts: Facts
    proof: Proof
    returns: ReturnSeries
    side: Side = Side.LONG
    has_target: bool = True
    blockers: tuple[RuleOutcome, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationTask:
    """Hold what one strategy submitted, as Arrow IPC streams (empty: none), and what its world has seen before.

    ``trials`` counts every strategy tried in the world, this one included. ``trial_sharpes`` are the annualised Sharpe
    ratios of the others, ``trial_series`` name the returns of the newest of them, as far as the world has them.
    """

    returns: bytes
    targets: bytes
    trades: bytes
    periods_per_year: float
    trials: int = 1
    trial_sharpes: tuple[float, ...] = ()
    trial_series: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationMetrics:
    """Hold what the world computed from a submission: all metrics of the catalog by name, NaN where undefined.

    ``returns_hash`` is of the returns, ``series_hash`` of all that was submitted. ``equity_curve`` starts at 1 and has
    at most 64 points on an even grid of bars.
    """

    metrics: Mapping[str, float]
    sample: SampleFacts
    risk: RiskFacts
    side: Side
    has_target: bool
    returns: ReturnSeries
    returns_hash: str
    series_hash: str
    equity_curve: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """Say what one rule found: the two sides that it compared, where it compares, and a sentence with both."""

    rule: str
    passed: bool
    value: float | None
    limit: float | None
    message: str


@dataclass(frozen=True, slots=True)
class StrategyState:
    """Remember one strategy between rounds. ``streak`` counts rounds in which it earned the other state."""

    strategy_id: str
    active: bool = False
    streak: int = 0
    dwell_rounds: int = 0


@dataclass(frozen=True, slots=True)
class RoundState:
    """Remember a world between decisions: the states after the round of ``as_of``, and those before it.

    A round is a distinct ``as_of``. Deciding again for the same one starts again from ``before``, so that calls
    never count, rounds do.
    """

    as_of: datetime | None = None
    before: tuple[StrategyState, ...] = ()
    after: tuple[StrategyState, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Hold what one round decides on: its snapshot (UTC), the bars per year of the preset's calendar, candidates."""

    as_of: datetime
    periods_per_year: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class StrategyDecision:
    """Hold what a round decided on one strategy, and why.

    ``weight`` is a fraction of the world, 0 unless active. ``contribution`` is None where the strategy is not valid
    or the common window is too short for a Sharpe ratio.
    """

    strategy_id: str
    status: Status
    active: bool
    side: Side
    weight: float
    score: float | None
    contribution: float | None
    rules: tuple[RuleOutcome, ...]

    @property
    def violations(self) -> tuple[RuleOutcome, ...]:
        """Return the outcomes that failed."""
        return tuple(outcome for outcome in self.rules if not outcome.passed)


@dataclass(frozen=True, slots=True)
class RoundDecision:
    """Hold the decision of one round, strategies by id; ``world_score`` is the Sharpe ratio of the weighted set."""

    as_of: datetime
    strategies: tuple[StrategyDecision, ...]
    world_score: float | None
    state: RoundState = field(default_factory=RoundState)
