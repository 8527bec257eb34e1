"""Fixtures of the tests against PostgreSQL."""

from __future__ import annotations

from tests.support.stack import migrated_dsn, migrated_template, postgres_dsn, servers

__all__ = ["migrated_dsn", "migrated_template", "postgres_dsn", "servers"]
