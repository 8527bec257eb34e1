"""The world service starts fast: what it imports at start loads no heavy library."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "polars", "pydantic", "yaml", "cel_expr_python")


def test_model_and_weights_load_no_heavy_library() -> None:
    code = "import sys, qmtl_world.evaluation.model, qmtl_world.allocation.weights; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(HEAVY) & set(loaded)
