"""Fixtures of the fault tests: a stack of the module's own that each test breaks and the next one heals."""

from __future__ import annotations

from tests.support.stack import lasting_dir

__all__ = ["lasting_dir"]
