"""The world's data preset: which data a world's strategies see, where it comes from, and what it promises.

A preset travels as canonical JSON (`document`, `parse`); the world keeps it, the runner resolves it to a provider.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from qmtl_foundation.errors import FieldViolation, QmtlError, Reason
from qmtl_foundation.identity import BUILTIN_SCHEMA, Json, canonical_json, content_id
from qmtl_foundation.requests import RESOURCE_NAME
from qmtl_sdk.data.coverage import Interval
from qmtl_sdk.data.times import DAY_SECONDS, parse_duration, parse_instant

PRESET_FORMAT: Final = "qmtl.data-preset/1"
DATASET_KEY_CONTEXT: Final = "qmtl 2026-11 dataset-key v1"
BAR_COLUMNS: Final = ("open", "high", "low", "close", "volume")
ADJUSTED_CLOSE: Final = "adj_close"
BARS_STREAM: Final = "bars"  # what strategies call the preset's own bars
# What a stored partition calls a bar's place in time and its symbol.
RESERVED_COLUMNS: Final = frozenset({"opens", "closes", "sessions", "symbol"})
# The field's convention of annualising; calendars not named here count as exchanges.
SESSIONS_PER_YEAR: Final[Mapping[str, int]] = {"24/7": 365, "24/5": 260}
EXCHANGE_SESSIONS_PER_YEAR: Final = 252
# An open-ended preset ends where int64 nanoseconds do, nearly: 2262-01-01.
OPEN_END: Final = "2262-01-01"

Names = TypeVar("Names", tuple[str, ...], list[str])


class TimeMeans(StrEnum):
    """Say what the time column of a source states about a bar; PUBLISHED is for the streams beside the bars."""

    SESSION = "session"
    OPEN = "open"
    CLOSE = "close"
    PUBLISHED = "published"


class Adjustments(StrEnum):
    """Say whether prices are adjusted; SPLIT_DIVIDEND scales open, high, low and close by adjusted close / close.

    Volume stays as traded: a dividend moves the price factor, not the number of shares.
    """

    NONE = "none"
    SPLIT_DIVIDEND = "split_dividend"


class SchemaMode(StrEnum):
    """Say what a row that breaks the schema does: CANARY counts it and lets it pass, STRICT blocks the delivery."""

    CANARY = "canary"
    STRICT = "strict"


class SampleDataset(StrEnum):
    """Name the data sets inside the package."""

    US_EQUITY_1D = "us_equity_1d"
    SP500_1D = "sp500_1d"


class _Document(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


class SampleSource(_Document):
    """Read a data set that the package carries."""

    kind: Literal["sample"] = "sample"
    dataset: SampleDataset


class _FileSource(_Document):
    """Read rows (one per bar and symbol) from files.

    ``uri``: an absolute path or a URL (file, s3, gs, az, http), of one object, or of a folder when it ends in ``/``;
    ``{symbol}`` stands for each symbol of the preset. ``columns`` maps column names of ours to the file's: ``time``,
    ``symbol`` (not needed for a single symbol or ``{symbol}``), those of the schema, and ``adj_close``; a name that
    is not mapped is taken as it is. ``timezone`` reads times that state no offset, and tells the date of a session that
    is stored as a time in UTC.
    """

    uri: str
    columns: dict[str, str] = Field(default_factory=dict)
    timezone: str = "UTC"
    time_means: TimeMeans

    @field_validator("uri")
    @classmethod
    def _absolute(cls, uri: str) -> str:
        if not (uri.startswith("/") or "://" in uri):
            raise ValueError(f"{uri!r} depends on where it is read; write an absolute path or a URL such as s3://b/k")
        return uri

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{name!r} is no IANA time zone; write one such as America/New_York or UTC") from error
        return name


class ParquetSource(_FileSource):
    """Read Parquet files; the time column is a Date or a Datetime."""

    kind: Literal["parquet"] = "parquet"


class CsvSource(_FileSource):
    """Read CSV files with a header line; ``time_format`` (strftime) reads times that are not ISO 8601."""

    kind: Literal["csv"] = "csv"
    time_format: str | None = None


class DatasetSchema(_Document):
    """Name the columns that the data must have; those of `BAR_COLUMNS` also obey the rules of prices and volume."""

    id: Literal["qmtl.bars/1"] = BUILTIN_SCHEMA
    columns: tuple[str, ...] = BAR_COLUMNS
    mode: SchemaMode = SchemaMode.CANARY

    @field_validator("columns")
    @classmethod
    def _distinct_with_close(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(columns)) != len(columns) or not all(name.isidentifier() for name in columns):
            raise ValueError("each column must be a name of its own (letters, digits, _); rename or remove the others")
        taken = sorted(RESERVED_COLUMNS & set(columns))
        if taken:
            raise ValueError(
                f"{taken[0]!r} is a name of the partitions' own; choose another and map it by source.columns"
            )
        if "close" not in columns:
            raise ValueError("'close' is missing; add it: a bar exists where its close is known")
        return columns


class PublishedStream(_Document):
    """List a stream beside the bars: what was published for symbols (None: the preset's) at which moments.

    A publication is known from its moment on, and stands until the symbol's next one; an empty cell ends it.
    """

    name: Annotated[str, Field(pattern=rf"^{RESOURCE_NAME.pattern}$")]
    source: Annotated[ParquetSource | CsvSource, Field(discriminator="kind")]
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    symbols: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(min_length=1)] | None = (
        None
    )

    @field_validator("symbols", "columns")
    @classmethod
    def _once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else _distinct(names)

    @model_validator(mode="after")
    def _of_moments(self) -> Self:
        if self.name == BARS_STREAM:
            raise ValueError(f"'{BARS_STREAM}' is the preset's own bars; choose another name")
        if self.source.time_means is not TimeMeans.PUBLISHED:
            raise ValueError("set source.time_means to published, the moment from which a row was known")
        return self


class ServiceLevel(_Document):
    """State what the data promises; a limit of None is not judged.

    ``max_missing_fraction``: of the bars that the calendar expects, 0..1. ``max_staleness``: a duration such as
    ``7d`` between the newest bar and the end of the range, or now where that is earlier.
    """

    max_missing_fraction: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    max_staleness: str | None = None

    @field_validator("max_staleness")
    @classmethod
    def _duration(cls, text: str | None) -> str | None:
        if text is not None:
            parse_duration(text)
        return text


class WorldDataPreset(_Document):
    """State the data of a world: symbols at one interval over the half-open range ``[start, end)`` in UTC.

    ``calendar`` is a name of the exchange_calendars library (``XNYS``, ``24/7``). ``end`` None: open-ended.
    ``storage`` is the URL of a folder for Parquet partitions between cache and source; None: no storage.
    ``streams`` are delivered on the bars, each with what was last published by a bar's close.
    """

    format: Literal["qmtl.data-preset/1"] = PRESET_FORMAT
    name: Annotated[str, Field(pattern=rf"^{RESOURCE_NAME.pattern}$")]
    source: Annotated[SampleSource | ParquetSource | CsvSource, Field(discriminator="kind")]
    symbols: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(min_length=1)]
    interval: str
    start: str
    end: str | None = None
    calendar: Annotated[str, Field(min_length=1)]
    adjustments: Adjustments = Adjustments.NONE
    storage: str | None = None
    # "schema" is a method of pydantic's BaseModel.
    bars: Annotated[DatasetSchema, Field(alias="schema")] = DatasetSchema()
    sla: ServiceLevel = ServiceLevel()
    streams: tuple[PublishedStream, ...] = ()

    @field_validator("symbols")
    @classmethod
    def _once(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct(symbols)

    @field_validator("streams")
    @classmethod
    def _names_once(cls, streams: tuple[PublishedStream, ...]) -> tuple[PublishedStream, ...]:
        _distinct([stream.name for stream in streams])
        return streams

    @field_validator("interval")
    @classmethod
    def _regular_interval(cls, interval: str) -> str:
        if DAY_SECONDS % parse_duration(interval):
            raise ValueError(f"{interval!r} does not divide a day; write 1d, or a part of a day such as 1h or 5m")
        return interval

    @field_validator("start", "end")
    @classmethod
    def _instant(cls, text: str | None) -> str | None:
        try:
            if text is not None:
                parse_instant(text, "time")
        except QmtlError as error:
            raise ValueError(error.violations[0].description) from error
        return text

    @field_validator("storage")
    @classmethod
    def _storage_url(cls, url: str | None) -> str | None:
        if url is not None and "://" not in url:
            raise ValueError(f"{url!r} is no URL; write one such as file:///data/bars or s3://bucket/bars")
        return url

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.range.end == self.range.start:
            raise ValueError("the range is empty; move 'end' behind 'start'")
        if isinstance(self.source, SampleSource) and (self.interval, self.calendar) != ("1d", "XNYS"):
            raise ValueError("the sample has daily bars of XNYS only; set interval '1d' and calendar 'XNYS'")
        time_means = getattr(self.source, "time_means", None)
        if time_means is TimeMeans.PUBLISHED:
            raise ValueError("bars are not published; set source.time_means to session, open or close")
        if self.interval_s != DAY_SECONDS and time_means is TimeMeans.SESSION:
            raise ValueError(
                "a session date does not place a bar within its day; set source.time_means to open or close"
            )
        return self

    @property
    def interval_s(self) -> int:
        """Return the seconds of one bar; a session counts as 86,400."""
        return parse_duration(self.interval)

    @property
    def range(self) -> Interval:
        """Return the half-open range in UTC nanoseconds."""
        start, end = parse_instant(self.start, "start"), parse_instant(self.end or OPEN_END, "end")
        if start >= end:
            raise ValueError(f"'end' ({self.end}) is not after 'start' ({self.start}); move one of them")
        return Interval(start, end)

    @property
    def sessions_per_year(self) -> int:
        """Return the sessions that annualise: 252 for exchanges, 365 for 24/7."""
        return SESSIONS_PER_YEAR.get(self.calendar, EXCHANGE_SESSIONS_PER_YEAR)

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Return the columns that the source has to deliver: the schema's, and what adjusting needs."""
        adjusting = self.adjustments is Adjustments.SPLIT_DIVIDEND and ADJUSTED_CLOSE not in self.bars.columns
        return (*self.bars.columns, ADJUSTED_CLOSE) if adjusting else self.bars.columns

    def document(self) -> bytes:
        """Return the canonical JSON of this preset; `parse` reads it."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))

    def dataset_key(self) -> str:
        """Return the id of the bars this preset names: all but its name, storage, promises, streams and schema mode."""
        besides = {"name", "storage", "sla", "streams"}
        document = self.model_dump(mode="json", by_alias=True, exclude=besides)
        del document["schema"]["mode"]
        return content_id(DATASET_KEY_CONTEXT, document)

    @classmethod
    def parse(cls, document: bytes | Mapping[str, Json]) -> WorldDataPreset:
        """Return the preset of a JSON document; raise QmtlError INVALID_FIELD naming every bad field and its mend."""
        try:
            text = document if isinstance(document, bytes) else json.dumps(document, allow_nan=False)
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _refusal(error) from error
        except (TypeError, ValueError) as error:
            raise _not_json(error) from error


def builtin_presets() -> Mapping[str, WorldDataPreset]:
    """Return the presets that every installation has, by name: the sample data sets."""
    return {preset.name: preset for preset in (_us_equity(), _sp500())}


def _distinct(names: Names) -> Names:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]!r} is named twice; name each once")
    return names


def _us_equity() -> WorldDataPreset:
    return WorldDataPreset(
        name="sample_us_equity_1d",
        source=SampleSource(dataset=SampleDataset.US_EQUITY_1D),
        symbols=("AAPL", "GOOG", "IBM", "MSFT"),
        interval="1d",
        start="2000-03-01",
        end="2013-03-02",
        calendar="XNYS",
        adjustments=Adjustments.SPLIT_DIVIDEND,
        bars=DatasetSchema(mode=SchemaMode.STRICT),
        sla=ServiceLevel(max_missing_fraction=0.0, max_staleness="4d"),
    )


def _sp500() -> WorldDataPreset:
    return WorldDataPreset(
        name="sample_sp500_1d",
        source=SampleSource(dataset=SampleDataset.SP500_1D),
        symbols=("SPX",),
        interval="1d",
        start="1999-01-01",
        end="2019-01-01",
        calendar="XNYS",
        bars=DatasetSchema(mode=SchemaMode.STRICT),
        sla=ServiceLevel(max_missing_fraction=0.0, max_staleness="4d"),
    )


def _refusal(error: ValidationError) -> QmtlError:
    violations = tuple(FieldViolation(_path(detail), _mend(detail)) for detail in error.errors(include_url=False))
    first = violations[0]
    metadata = {"field": first.field, "violations": str(len(violations))}
    message = "; ".join(f"{item.field}: {item.description}" for item in violations)
    return QmtlError(Reason.INVALID_FIELD, message, metadata=metadata, violations=violations)


def _path(detail: ErrorDetails) -> str:
    parts = [str(part) for part in detail["loc"]]
    if "source" in parts[:-2]:
        del parts[parts.index("source") + 1]  # the kind of the source, which pydantic puts between
    return ".".join(("data_preset", *parts))


def _mend(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "is missing; state it"
    if detail["type"] == "extra_forbidden":
        return "is no field of a data preset; remove it, or mend its spelling"
    if detail["type"] == "string_pattern_mismatch":
        return f"{detail['input']!r} is no name; write lower-case letters, digits and _, beginning with a letter"
    if detail["type"] == "json_invalid":
        return f"is not valid JSON ({detail['msg']}); mend the document"
    text = detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    return text if isinstance(given, Mapping) or detail["type"] == "value_error" else f"{text}; it is {given!r}"


def _not_json(error: Exception) -> QmtlError:
    message = f"data_preset: has no JSON form ({error}); use text, finite numbers, lists and objects only"
    violation = FieldViolation("data_preset", message.removeprefix("data_preset: "))
    return QmtlError(Reason.INVALID_FIELD, message, metadata={"field": "data_preset"}, violations=(violation,))
