"""``qmtl data``: the presets that there are, and what their data is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmtl_foundation.terminal import plain_console
from qmtl_sdk.cli.exits import ExitCode
from qmtl_sdk.cli.session import Session, command, confirmed

if TYPE_CHECKING:
    import yaml

    from qmtl_sdk.data.preset import WorldDataPreset
    from qmtl_sdk.data.report import DeliveryReport

Preset = Annotated[str, typer.Argument(metavar="PRESET", help="Name of a registered data preset.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Snapshot, RFC 3339. Default: the newest bar's close.")]

app = typer.Typer(help="Register data presets, and look at their data.", rich_markup_mode=None)
presets = typer.Typer(help="List data presets, or register one.", rich_markup_mode=None)
app.add_typer(presets, name="presets", invoke_without_command=True)


@presets.callback()
@command
def list_presets(session: Session, context: typer.Context) -> None:
    """List the registered data presets, or register one."""
    if context.invoked_subcommand is not None:
        context.obj = session
        return
    import json

    from qmtl_sdk.cli.tables import rows
    from qmtl_sdk.client import presets as registry

    found = [json.loads(preset.document()) for preset in session.ask(registry.list_presets)]
    columns = {
        "preset": "name",
        "source": "source.kind",
        "symbols": "symbols",
        "interval": "interval",
        "calendar": "calendar",
        "start": "start",
        "end": "end",
    }
    session.answer({"presets": found}, rows(found, columns, "no presets: `qmtl up` registers the built-in ones"))


@presets.command("add")
@command
def add(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A preset, YAML or JSON.")],
    yes: Annotated[bool, typer.Option("--yes", help="Register doubtful data unasked.")] = False,
) -> int:
    """Register a data preset whose data can be read from here; it cannot be changed afterwards.

    Shows first what of the data is there. Asks where the data is doubtful: where more bars are missing than the preset
    promises (a tenth where it promises nothing), more than a tenth of the rows is left out, or a price is not positive,
    which backtests refuse. Exit code 1 when the answer is no, 2 where there is no terminal and no --yes.
    """
    import json

    from qmtl_sdk.cli.coverage import delivery, doubts, facts
    from qmtl_sdk.client.presets import register_preset
    from qmtl_sdk.report.figures import percent

    preset = _read_preset(file)
    report = _read(preset)
    document = {"preset": json.loads(preset.document()), "report": report.document()}
    if not session.json:
        plain_console(stderr=True).print(*delivery(report), sep="\n")
    doubtful = doubts(report, preset.sla)
    deed = f"register {preset.name}, which has {' and '.join(doubtful)}"
    if doubtful and not yes and not confirmed(deed, facts(report)):
        session.answer({**document, "registered": False}, "nothing was registered")
        return ExitCode.REFUSED
    session.ask(lambda gateway: register_preset(gateway, preset))
    covered = percent(report.coverage_fraction)
    bars = f"{report.bars:,} bars of {len(preset.symbols)} symbols to {report.as_of}, {covered} of them there"
    session.answer({**document, "registered": True}, f"registered {preset.name}: {bars}")
    return ExitCode.OK


@app.command("coverage")
@command
def coverage(session: Session, preset: Preset, as_of: AsOf = None) -> None:
    """Read a preset's data and say what of it is there: per symbol, gaps, conformance, promises."""
    from qmtl_sdk.cli.coverage import delivery

    report = _delivered(session, preset, as_of)
    session.answer(report.document(), *delivery(report))


@app.command("fingerprint")
@command
def fingerprint(session: Session, preset: Preset, as_of: AsOf = None) -> None:
    """Read a preset's data and print its fingerprint."""
    report = _delivered(session, preset, as_of)
    document = {"data_preset": preset, "as_of": report.as_of, "fingerprint": report.fingerprint}
    session.answer(document, f"{report.fingerprint}  {preset} as of {report.as_of}")


def _delivered(session: Session, name: str, as_of: str | None) -> DeliveryReport:
    from qmtl_sdk.client.presets import fetch_preset

    return _read(session.ask(lambda gateway: fetch_preset(gateway, name)), as_of)


def _read(preset: WorldDataPreset, as_of: str | None = None) -> DeliveryReport:
    from qmtl_sdk.data.provider import resolve_provider
    from qmtl_sdk.settings import cache_dir

    return resolve_provider(preset, cache_dir()).read(as_of=as_of).report


def _read_preset(file: Path) -> WorldDataPreset:
    import yaml

    from qmtl_foundation.errors import invalid_field
    from qmtl_sdk.data.preset import WorldDataPreset

    try:
        document = yaml.load(file.read_text(encoding="utf-8"), _dates_as_written())  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise invalid_field(
            "data_preset", f"{file} cannot be read ({error.strerror}); name a YAML or JSON file"
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise invalid_field("data_preset", f"{file} is neither YAML nor JSON: {error}") from error
    if not isinstance(document, dict):
        raise invalid_field("data_preset", f"{file} holds no preset; write its fields, such as name: and source:")
    return WorldDataPreset.parse(document)


def _dates_as_written() -> type[yaml.SafeLoader]:
    """Return a loader of YAML, and so of JSON, to which a date without quotes is the text that was written."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Resolve plain scalars as YAML does, but no timestamps."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader
