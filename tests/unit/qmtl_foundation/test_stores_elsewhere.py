"""PostgreSQL and NATS on another machine: how their connections must be encrypted, or said not to be."""

from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.postgres.pool import check_encryption_stated
from qmtl_foundation.settings import Secret


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://qmtl@/qmtl?host=%2Frun%2Fpostgres&port=5432",
        "postgresql://qmtl@127.0.0.1:5432/qmtl",
        "postgresql://qmtl@localhost/qmtl",
        "postgresql://qmtl@[::1]:5432/qmtl",
        "postgresql://qmtl@%2Fvar%2Frun%2Fpostgresql/qmtl",
        "postgresql://qmtl:secret@db/qmtl?sslmode=verify-full",
        "postgresql://qmtl@db/qmtl?sslmode=disable",
    ],
)
def test_a_database_of_this_machine_or_with_a_stated_mode_is_dialled(dsn: str) -> None:
    check_encryption_stated(Secret(dsn))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://qmtl:secret@db/qmtl",
        "postgresql://qmtl@127.0.0.1,db/qmtl",
        "postgresql:///qmtl?host=db",
        "postgresql://qmtl@127.example/qmtl",
    ],
)
def test_a_database_elsewhere_is_not_dialled_by_chance(dsn: str) -> None:
    with pytest.raises(QmtlError, match="sslmode") as caught:
        check_encryption_stated(Secret(dsn))
    assert caught.value.reason is Reason.NOT_CONFIGURED
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["nats://nats:4222", "nats://a:b@10.0.0.1:4222", "tls://nats:4222", "nats://127.0.0.1:1,nats://nats:2"]
)
async def test_a_broker_elsewhere_is_not_spoken_to_in_the_clear(url: str) -> None:
    with pytest.raises(QmtlError, match="QMTL_NATS_URL") as caught:
        async with open_bus(url, "test"):
            pass
    assert caught.value.metadata == {"setting": "QMTL_NATS_URL"}
