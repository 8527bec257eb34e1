"""Fixtures of the tests of upgrades."""

from __future__ import annotations

from tests.support.stack import servers

__all__ = ["servers"]
