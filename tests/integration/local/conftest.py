"""Fixtures of the local stack's tests."""

from __future__ import annotations

from tests.support.stack import lasting_dir, other_state_dir, state_dir

__all__ = ["lasting_dir", "other_state_dir", "state_dir"]
