"""A state directory for what a test restarts."""

from __future__ import annotations

from tests.support.stack import state_dir

__all__ = ["state_dir"]
