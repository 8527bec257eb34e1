"""How the processes of the local stack are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qmtl_foundation.diagnosis.finding import Finding, fault, ok
from qmtl_sdk.diagnosis.readiness import STANDS_ON
from qmtl_sdk.local import stack
from qmtl_sdk.local.progress import Health, ProcessStatus


def examine_stack(state_dir: Path) -> list[Finding]:
    """Return how each process of a stack is; nothing where none was started there. Raises as ``stack.status``."""
    processes = stack.status(state_dir).processes
    away = [each.name for each in processes if each.name in STANDS_ON and each.health is not Health.HEALTHY]
    return [_examine(each, away) for each in processes]


def _examine(process: ProcessStatus, away: Sequence[str]) -> Finding:
    what = f"local {process.name}"
    if process.health is Health.HEALTHY:
        return ok(what, "healthy")
    if process.health is Health.UNHEALTHY and away and process.name not in STANDS_ON:
        return fault(what, f"runs, and is not ready without {' and '.join(away)}", "ready by itself once that is back")
    if process.health is Health.UNHEALTHY:
        mend = f"`qmtl stack logs {process.name}` says why; where it stands still, `qmtl down` and `qmtl up`"
        return fault(what, "runs, and is not ready", mend)
    how = f"ended: {process.ended}" if process.ended else "does not run"
    said = f"; its log ends: {process.last_lines[-1]}" if process.last_lines else ""
    return fault(what, f"{how}{said}", "`qmtl up` starts it")
