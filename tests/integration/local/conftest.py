"""Fixtures of the local stack's tests."""

from __future__ import annotations

from tests.support.stack import other_state_dir, state_dir

__all__ = ["other_state_dir", "state_dir"]
