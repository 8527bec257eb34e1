"""The state of a fold: plain numbers, texts, tuples, mappings and arrays, with a canonical form and a copy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import Json

MAX_DEPTH = 16  # nesting of a state


@dataclass(frozen=True, slots=True, eq=False)
class FoldState:
    """Hold where a fold stands for one symbol: its state, and the number of bars folded so far."""

    state: Any
    bars: int

    def copy(self) -> FoldState:
        """Return a copy that shares no memory: a snapshot to go on from."""
        return FoldState(deepcopy(self.state), self.bars)


def canonical_state(node: str, state: Any, depth: int = 0) -> Json:
    """Return the JSON form of a fold's state; raise QmtlError NO_CANONICAL_FORM naming what has none."""
    if isinstance(state, np.generic):
        state = state.item()
    if state is None or isinstance(state, bool | int | str) or (isinstance(state, float) and math.isfinite(state)):
        return state
    if depth < MAX_DEPTH:
        if isinstance(state, np.ndarray) and state.dtype.kind in "bif":
            return {"array": canonical_state(node, state.tolist(), depth + 1), "dtype": str(state.dtype)}
        if isinstance(state, tuple | list):
            return [canonical_state(node, item, depth + 1) for item in state]
        if isinstance(state, Mapping) and all(isinstance(key, str) for key in state):
            return {key: canonical_state(node, item, depth + 1) for key, item in state.items()}
    raise QmtlError(
        Reason.NO_CANONICAL_FORM,
        f"initial: {state!r} of fold {node!r} is no plain state; use finite numbers, texts, tuples, "
        "mappings of names, or NumPy arrays of numbers",
        metadata={"node": node, "field": "initial"},
    )
