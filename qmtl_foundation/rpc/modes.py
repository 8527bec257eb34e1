"""Modes, domains and downgrade reasons between the contract's enums and the domain's."""

from __future__ import annotations

from typing import Final

from qmtl_foundation.execution_domain import DowngradeReason, EffectiveMode, ExecutionDomain
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2

_MODES: Final = {
    EffectiveMode.VALIDATE: execution_pb2.EFFECTIVE_MODE_VALIDATE,
    EffectiveMode.COMPUTE_ONLY: execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY,
    EffectiveMode.PAPER: execution_pb2.EFFECTIVE_MODE_PAPER,
    EffectiveMode.LIVE: execution_pb2.EFFECTIVE_MODE_LIVE,
    EffectiveMode.SHADOW: execution_pb2.EFFECTIVE_MODE_SHADOW,
}
_DOMAINS: Final = {
    ExecutionDomain.BACKTEST: execution_pb2.EXECUTION_DOMAIN_BACKTEST,
    ExecutionDomain.DRYRUN: execution_pb2.EXECUTION_DOMAIN_DRYRUN,
    ExecutionDomain.LIVE: execution_pb2.EXECUTION_DOMAIN_LIVE,
    ExecutionDomain.SHADOW: execution_pb2.EXECUTION_DOMAIN_SHADOW,
}
_MODE_TEXTS: Final = {int(number): mode.value for mode, number in _MODES.items()}
_DOMAINS_BACK: Final = {int(number): domain for domain, number in _DOMAINS.items()}


def to_mode(mode: EffectiveMode) -> execution_pb2.EffectiveMode:
    """Return the contract's number of a mode."""
    return _MODES[mode]


def mode_text(number: int) -> str:
    """Return the text of a mode's number; one that this release does not know stays visible as its number."""
    return _MODE_TEXTS.get(number, f"mode-{number}")


def to_domain(domain: ExecutionDomain) -> execution_pb2.ExecutionDomain:
    """Return the contract's number of a domain."""
    return _DOMAINS[domain]


def from_domain(number: int) -> ExecutionDomain:
    """Return the domain of a number; what is unknown is backtest."""
    return _DOMAINS_BACK.get(number, ExecutionDomain.BACKTEST)


def to_reason(reason: DowngradeReason) -> execution_pb2.DowngradeReason:
    """Return the contract's number of a downgrade reason."""
    number: execution_pb2.DowngradeReason = getattr(execution_pb2, f"DOWNGRADE_REASON_{reason.name}")
    return number
