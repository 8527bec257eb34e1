"""Channels between services: opened once, shared by every call; and what a call's failure means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.requests import MAX_MESSAGE_BYTES
from qmtl_foundation.rpc.status import from_rpc_error
from qmtl_foundation.settings import Address

CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)


@asynccontextmanager
async def open_channel(address: Address, *, apart: bool = False) -> AsyncIterator[grpc.aio.Channel]:
    """Yield a channel to a service; it connects at the first call and comes back by itself.

    Channels to one address share a connection, and the pause after it could not be made, unless one is ``apart``.
    """
    options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", int(apart)))
    async with grpc.aio.insecure_channel(str(address), options=options) as channel:
        yield channel


@asynccontextmanager
async def calling(dependency: str) -> AsyncIterator[None]:
    """Turn what a call raises into the QmtlError that the service sent; one that does not answer is named."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        if found.reason is Reason.DEPENDENCY_UNAVAILABLE and not found.metadata:
            found = QmtlError(found.reason, f"the {dependency} does not answer", metadata={"dependency": dependency})
        raise found from error
