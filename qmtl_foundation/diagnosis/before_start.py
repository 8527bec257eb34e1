"""What a service answers about its start instead of starting: how it would fare (``--check``), or with what
(``--show``)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection

from qmtl_foundation.diagnosis import finding, setting
from qmtl_foundation.diagnosis.examination import Examined, examine
from qmtl_foundation.terminal import plain_console, write_document


def tell_examined(service: str, settings: type, beside: Collection[str], *, offline: bool, as_json: bool) -> Examined:
    """Tell how a service would fare that was started with this environment, and return what was found."""
    logging.getLogger().addHandler(logging.NullHandler())  # what is logged on the way the findings say
    found = asyncio.run(examine(service, settings, os.environ, beside, offline=offline))
    every = [*found.told, *found.ground]
    if as_json:
        write_document(finding.document(every))
    else:
        plain_console().print(finding.table(every))
    return found


def tell_settings(settings: type, *, as_json: bool) -> bool:
    """Tell every setting; return whether some are missing or malformed."""
    shown = setting.shown_settings(settings, os.environ)
    if as_json:
        write_document(setting.document(shown))
    else:
        plain_console().print(setting.table(shown))
    return any(each.fault for each in shown)
