"""Messages beyond the limit: the SDK refuses them before they are sent, with their size and the limit."""

from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.requests import MAX_MESSAGE_BYTES
from qmtl_foundation.settings import Address
from qmtl_sdk._pb.qmtl.evaluation.v1 import EvaluateRequest
from qmtl_sdk._pb.qmtl.world.v1 import ListWorldsRequest
from qmtl_sdk.client.credential import file_source
from qmtl_sdk.client.gateway import connect
from qmtl_sdk.local.progress import StackStatus


async def test_a_message_that_is_too_large_is_refused_with_its_size_and_the_limit(stack: StackStatus) -> None:
    request = EvaluateRequest(returns=bytes(MAX_MESSAGE_BYTES))
    async with connect(Address.parse(stack.gateway_address), token=file_source(stack.token_file)) as client:
        with pytest.raises(QmtlError) as caught:
            await client.call(lambda: client.evaluations.evaluate(request))
        size = len(bytes(request))
        assert caught.value.reason is Reason.TOO_LARGE
        assert caught.value.message == f"EvaluateRequest has {size} bytes; the limit is {MAX_MESSAGE_BYTES}"
        assert caught.value.metadata == {"field": "EvaluateRequest", "limit": str(MAX_MESSAGE_BYTES)}
        await client.call(lambda: client.worlds.list_worlds(ListWorldsRequest()))  # the connection is as good as before
