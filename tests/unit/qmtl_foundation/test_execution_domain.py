"""The one mapping: the whole table, each reason, and that no hint ever raises a domain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation.execution_domain import (
    DOMAIN_RULES,
    ContextTerms,
    DecisionTerms,
    DowngradeReason,
    EffectiveMode,
    ExecutionDomain,
    derive_context,
    domain_of,
    parse_mode,
)
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.rpc.modes import from_domain, mode_text, to_domain, to_mode, to_reason

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AS_OF = "2013-03-01T21:00:00Z"
DATA = "blake3:" + "a" * 64
# How much each domain lets happen to real orders; shadow reads live inputs and sends nothing.
ORDERS = {ExecutionDomain.BACKTEST: 0, ExecutionDomain.SHADOW: 0, ExecutionDomain.DRYRUN: 1, ExecutionDomain.LIVE: 2}


def decided(mode: str, allow_live: bool = True, seconds: float = 300.0) -> DecisionTerms:
    return DecisionTerms(mode, allow_live, NOW + timedelta(seconds=seconds))


def derive(
    decision: DecisionTerms | None, hint: str = "", as_of: str = AS_OF, dataset_fingerprint: str = DATA
) -> ContextTerms:
    return derive_context(decision, hint=hint, as_of=as_of, dataset_fingerprint=dataset_fingerprint, now=NOW)


@pytest.mark.parametrize(
    ("mode", "domain"),
    [
        ("validate", ExecutionDomain.BACKTEST),
        ("compute-only", ExecutionDomain.BACKTEST),
        ("paper", ExecutionDomain.DRYRUN),
        ("sim", ExecutionDomain.DRYRUN),
        ("live", ExecutionDomain.LIVE),
        ("shadow", ExecutionDomain.SHADOW),
    ],
)
def test_each_mode_has_its_domain(mode: str, domain: ExecutionDomain) -> None:
    terms = derive(decided(mode))
    assert (terms.domain, terms.reasons, terms.downgraded, terms.safe_mode) == (domain, (), False, False)
    assert domain_of(parse_mode(mode)) is domain


def test_the_table_is_whole_and_what_is_unknown_is_backtest() -> None:
    assert set(DOMAIN_RULES) == set(EffectiveMode)
    assert parse_mode("turbo") is None
    assert domain_of(None) is ExecutionDomain.BACKTEST


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (derive(None), DowngradeReason.DECISION_UNAVAILABLE),
        (derive(decided("live", seconds=0.0)), DowngradeReason.DECISION_STALE),
        (derive(decided("paper", seconds=-1.0)), DowngradeReason.DECISION_STALE),
        (derive(decided("live", allow_live=False)), DowngradeReason.LIVE_NOT_ALLOWED),
        (derive(decided("turbo")), DowngradeReason.UNKNOWN_MODE),
        (derive(decided("")), DowngradeReason.UNKNOWN_MODE),
        (derive(decided("mode-17")), DowngradeReason.UNKNOWN_MODE),
        (derive(decided("live"), hint="turbo"), DowngradeReason.UNKNOWN_MODE),
        (derive(decided("paper"), as_of=""), DowngradeReason.MISSING_AS_OF),
        (derive(decided("validate"), as_of=""), DowngradeReason.MISSING_AS_OF),
        (derive(decided("paper"), dataset_fingerprint=""), DowngradeReason.MISSING_FINGERPRINT),
        (derive(decided("live"), dataset_fingerprint=""), DowngradeReason.MISSING_FINGERPRINT),
        (derive(decided("shadow"), dataset_fingerprint=""), DowngradeReason.MISSING_FINGERPRINT),
    ],
)
def test_what_is_missing_stale_or_unknown_is_compute_only(terms: ContextTerms, reason: DowngradeReason) -> None:
    assert terms.reasons == (reason,)
    assert (terms.mode, terms.domain) == (EffectiveMode.COMPUTE_ONLY, ExecutionDomain.BACKTEST)
    assert terms.downgraded
    assert terms.safe_mode


@pytest.mark.parametrize(
    ("mode", "hint"), [("paper", "live"), ("validate", "paper"), ("compute-only", "validate"), ("live", "shadow")]
)
def test_a_hint_above_the_decision_changes_nothing_but_is_said(mode: str, hint: str) -> None:
    terms = derive(decided(mode), hint)
    assert terms.mode is EffectiveMode(mode)
    assert terms.reasons == (DowngradeReason.HINT_ABOVE_DECISION,)
    assert terms.downgraded
    assert not terms.safe_mode


@pytest.mark.parametrize(
    ("mode", "hint"), [("live", "paper"), ("live", "sim"), ("paper", "validate"), ("shadow", "validate")]
)
def test_a_hint_below_the_decision_is_followed(mode: str, hint: str) -> None:
    terms = derive(decided(mode), hint)
    assert terms.mode is parse_mode(hint)
    assert terms.reasons == ()


def test_live_needs_no_snapshot() -> None:
    assert derive(decided("live"), as_of="").domain is ExecutionDomain.LIVE


modes = st.sampled_from([*(mode.value for mode in EffectiveMode), "sim", "turbo", "", "mode-9"])
decisions = st.none() | st.builds(decided, modes, st.booleans(), st.sampled_from([-1.0, 0.0, 300.0]))
present = st.sampled_from(["", DATA])


@given(decisions, modes, present, present)
def test_no_hint_lets_more_orders_out_than_the_decision_alone(
    decision: DecisionTerms | None, hint: str, as_of: str, fingerprint: str
) -> None:
    alone, hinted = derive(decision, "", as_of, fingerprint), derive(decision, hint, as_of, fingerprint)
    assert ORDERS[hinted.domain] <= ORDERS[alone.domain] or alone.reasons == (DowngradeReason.MISSING_AS_OF,)
    assert (hinted.domain is ExecutionDomain.SHADOW) <= (decision is not None and decision.effective_mode == "shadow")
    assert hinted.domain is domain_of(hinted.mode)
    assert hinted.downgraded == bool(hinted.reasons)
    assert len(set(hinted.reasons)) == len(hinted.reasons)
    if hinted.safe_mode:
        assert hinted.domain is ExecutionDomain.BACKTEST


@given(decisions, modes, present, present)
def test_live_and_paper_only_by_a_fresh_decision_that_says_so(
    decision: DecisionTerms | None, hint: str, as_of: str, fingerprint: str
) -> None:
    terms = derive(decision, hint, as_of, fingerprint)
    if ORDERS[terms.domain]:
        assert decision is not None
        assert decision.expires_at > NOW
        assert fingerprint
        assert decision.effective_mode in {"live", "paper", "sim"}
    if terms.domain is ExecutionDomain.LIVE:
        assert decision is not None
        assert decision.allow_live
        assert decision.effective_mode == "live"


def test_the_contract_numbers_every_mode_domain_and_reason() -> None:
    for mode in EffectiveMode:
        assert mode_text(to_mode(mode)) == mode.value
    for domain in ExecutionDomain:
        assert from_domain(to_domain(domain)) is domain
    assert len(execution_pb2.EffectiveMode.items()) == len(EffectiveMode) + 1
    assert len(execution_pb2.ExecutionDomain.items()) == len(ExecutionDomain) + 1
    assert {to_reason(reason) for reason in DowngradeReason} == set(execution_pb2.DowngradeReason.values()) - {0}
    assert mode_text(99) == "mode-99"
    assert from_domain(99) is ExecutionDomain.BACKTEST
