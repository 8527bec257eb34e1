"""Data presets at the gateway: register, fetch and list them; the built-in ones of every installation."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Final

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.settings import Address
from qmtl_sdk.client.credential import TokenSource
from qmtl_sdk.client.gateway import Gateway, connect
from qmtl_sdk.client.loop import run
from qmtl_sdk.client.paging import PAGE, all_pages
from qmtl_sdk.data.preset import WorldDataPreset, builtin_presets

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.dataset.v1 import ListPresetsResponse

CALL_SECONDS: Final = 10.0


async def register_preset(gateway: Gateway, preset: WorldDataPreset) -> None:
    """Register a preset; the same one again changes nothing. Another of that name raises QmtlError PRESET_EXISTS."""
    from qmtl_sdk._pb.qmtl.dataset.v1 import RegisterPresetRequest

    request = RegisterPresetRequest(name=preset.name, document=preset.document())
    await gateway.call(lambda: gateway.datasets.register_preset(request, timeout=CALL_SECONDS))


async def fetch_preset(gateway: Gateway, name: str) -> WorldDataPreset:
    """Return a registered preset. Raises QmtlError PRESET_NOT_FOUND."""
    from qmtl_sdk._pb.qmtl.dataset.v1 import GetPresetRequest

    request = GetPresetRequest(name=name)
    found = (await gateway.call(lambda: gateway.datasets.get_preset(request, timeout=CALL_SECONDS))).preset
    if found is None:
        raise QmtlError(Reason.INTERNAL, "the gateway answered without a preset", metadata={"data_preset": name})
    return WorldDataPreset.parse(found.document)


async def list_presets(gateway: Gateway) -> tuple[WorldDataPreset, ...]:
    """Return every registered preset, by name."""
    from qmtl_sdk._pb.qmtl.dataset.v1 import ListPresetsRequest

    def send(token: str) -> Awaitable[ListPresetsResponse]:
        request = ListPresetsRequest(page_size=PAGE, page_token=token)
        return gateway.datasets.list_presets(request, timeout=CALL_SECONDS)

    pages = await all_pages(gateway, send)
    return tuple(WorldDataPreset.parse(each.document) for page in pages for each in page.presets)


def register_builtin_presets(address: Address, token: TokenSource) -> tuple[str, ...]:
    """Register the built-in presets at a gateway, as an administrator, and return their names.

    One that stands there with another document, as after an upgrade, is left as it is: worlds rely on it.
    """
    presets = builtin_presets()
    run(_register_all(address, token, presets.values()))
    return tuple(sorted(presets))


async def _register_all(address: Address, token: TokenSource, presets: Iterable[WorldDataPreset]) -> None:
    async with connect(address, token=token) as gateway:
        for preset in presets:
            try:
                await register_preset(gateway, preset)
            except QmtlError as error:
                if error.reason is not Reason.PRESET_EXISTS:
                    raise
