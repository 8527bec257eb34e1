"""A service's settings as it has them, without secrets: as a document, and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from qmtl_foundation.settings import FILE_SUFFIX, HIDDEN, Reading, Secret, readings, without_user
from qmtl_foundation.terminal import folded_table

if TYPE_CHECKING:
    from rich.console import RenderableType

ENVIRONMENT: Final = "environment"
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold one setting: its value as a text, where it is from (a file is named by its variable), or what is wrong."""

    variable: str
    value: str = ""
    source: str = ""
    fault: str = ""


def shown_settings(settings: type, environ: Mapping[str, str]) -> list[Setting]:
    """Return every setting as a service has it by these variables; of a secret only that there is one."""
    return [_shown(each) for each in readings(settings, environ).values()]


def document(shown: Sequence[Setting]) -> dict[str, Any]:
    """Return settings as a JSON object."""
    return {"settings": [asdict(each) for each in shown]}


def parsed(stated: Mapping[str, Any]) -> list[Setting]:
    """Return the settings of a ``document``. Raises KeyError or TypeError for what is none."""
    return [Setting(**each) for each in stated["settings"]]


def table(shown: Sequence[Setting]) -> RenderableType:
    """Return settings as people read them."""
    from rich.text import Text

    drawn = folded_table(("variable", "value", "from"))
    for each in shown:
        value = Text(each.fault, "red") if each.fault else Text(each.value)
        drawn.add_row(Text(each.variable), value, Text(each.source, "dim" if each.source == DEFAULT else ""))
    return drawn


def _shown(reading: Reading) -> Setting:
    if reading.fault:
        return Setting(reading.variable, fault=reading.sentence)
    source = ENVIRONMENT if reading.source else DEFAULT
    if reading.kind is not Secret:
        text = "" if reading.value is None else without_user(str(reading.value))
        return Setting(reading.variable, text, source)
    return Setting(reading.variable, HIDDEN, reading.source if reading.source.endswith(FILE_SUFFIX) else source)
