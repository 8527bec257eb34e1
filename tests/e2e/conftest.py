"""Fixtures of the whole loop."""

from __future__ import annotations

from tests.support.stack import lasting_dir

__all__ = ["lasting_dir"]
