"""What is said of the variables that a service would be started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from qmtl_executor.settings import ExecutorSettings
from qmtl_foundation.diagnosis.finding import Finding, Verdict, document, parsed
from qmtl_foundation.diagnosis.setting import shown_settings
from qmtl_foundation.diagnosis.variables import examine_variables
from qmtl_gateway.settings import GatewaySettings
from qmtl_world.settings import WorldSettings

WORLD = {
    "QMTL_AUTH_JWKS": "/keys.json",
    "QMTL_AUTH_ISSUER": "https://id.example",
    "QMTL_POSTGRES_DSN": "postgresql://qmtl_world:hidden@localhost/qmtl",
    "QMTL_NATS_URL": "nats://world:hidden@127.0.0.1:4222",
    "QMTL_LISTEN": "127.0.0.1:9000",
    "QMTL_METRICS_LISTEN": "127.0.0.1:9001",
}
DIALS = {
    "QMTL_WORLD_ADDRESS": "127.0.0.1:9002",
    "QMTL_DAGMGR_ADDRESS": "127.0.0.1:9003",
    "QMTL_TOKEN_FILE": "/token",
}
TLS = {"QMTL_TLS_CERTIFICATE": "/c.pem", "QMTL_TLS_KEY": "/c.key", "QMTL_TLS_CA": "/ca.pem"}


def found_in(settings: type, environ: dict[str, str], *beside: str) -> dict[str, Finding]:
    found, _ = examine_variables(settings, environ, beside)
    assert parsed(document(found)) == found
    return {each.what: each for each in found}


def wrong_in(settings: type, environ: dict[str, str]) -> dict[str, str]:
    found = found_in(settings, environ).values()
    assert all(each.mend for each in found if each.verdict is not Verdict.OK)
    return {each.what: each.says for each in found if each.verdict is not Verdict.OK}


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (WorldSettings, WORLD),
        (WorldSettings, {**WORLD, "QMTL_PAPER_EXECUTOR": ""}),
        (WorldSettings, {**WORLD, "QMTL_HEALTH_LISTEN": "0.0.0.0:9002"}),
        (WorldSettings, {**WORLD, "QMTL_POSTGRES_DSN": "postgresql://a:b@h1:5432,h2:5433/qmtl?sslmode=require"}),
        (WorldSettings, {**WORLD, "QMTL_POSTGRES_DSN": "postgresql://a@/qmtl?host=%2Frun%2Fpostgres&port=5432"}),
        (WorldSettings, {**WORLD, "QMTL_NATS_URL": "nats://a:b@127.0.0.1:1, 127.0.0.1:2,nats://[::1]:3"}),
        (GatewaySettings, {**WORLD, **DIALS}),
    ],
)
def test_what_is_well_stated_has_no_fault(settings: type, environ: dict[str, str]) -> None:
    assert wrong_in(settings, environ) == {}
    assert set(found_in(settings, environ)) == set(environ)


def test_every_variable_that_is_missing_is_a_fault_with_its_form() -> None:
    found = found_in(GatewaySettings, {})
    assert set(found) == {*WORLD, *DIALS}
    assert {each.verdict for each in found.values()} == {Verdict.FAULT}
    assert found["QMTL_LISTEN"].mend == "set it to host:port"
    assert "QMTL_NATS_URL_FILE" in found["QMTL_NATS_URL"].mend


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("QMTL_LISTEN", "9000", "'9000' is not host:port"),
        ("QMTL_NATS_REPLICAS", "three", "'three' is no whole number"),
        ("QMTL_KEEP_DAYS", "0", "is 0, must be at least 1"),
        ("QMTL_KEEP_SERIES_DAYS", "-1", "is -1, must be at least 1"),
        ("QMTL_AUTH_SKEW_SECONDS", "-1", "is -1, must be at least 0"),
        ("QMTL_LOG_LEVEL", "loud", "is 'loud', must be one of debug, info, warning, error"),
        ("QMTL_HEALTH_LISTEN", "9002", "'9002' is not host:port"),
        (
            "QMTL_HEALTH_LISTEN",
            "127.0.0.1:9001",
            "is 127.0.0.1:9001, as QMTL_METRICS_LISTEN is: one port cannot serve both",
        ),
        ("QMTL_METRICS_LISTEN", "127.0.0.1:9000", "is 127.0.0.1:9000, as QMTL_LISTEN is: one port cannot serve both"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_value(variable: str, value: str, says: str) -> None:
    assert wrong_in(WorldSettings, {**WORLD, variable: value}) == {variable: says}


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("QMTL_LISTEN", "0.0.0.0:9000", "where other machines reach it"),
        ("QMTL_POSTGRES_DSN", "postgresql://qmtl_world@db/qmtl", "no sslmode"),
        ("QMTL_POSTGRES_DSN", "db/qmtl", "no DSN"),
        ("QMTL_NATS_URL", "nats://world:hidden@nats:4222", "must be tls://"),
        ("QMTL_NATS_URL", "http://world:hidden@127.0.0.1", "no URL such as"),
        ("QMTL_POSTGRES_DSN", "postgresql://a:hidden/x@db/qmtl?sslmode=require", "percent-encoded"),
        ("QMTL_POSTGRES_DSN", "postgresql://a:hidden\u2100@db/qmtl", "percent-encoded"),
        ("QMTL_NATS_URL", "nats://a:hidden/x@127.0.0.1:4222", "percent-encoded"),
        ("QMTL_NATS_URL", "nats://127.0.0.1:hidden", "percent-encoded"),
        ("QMTL_AUTH_JWKS", "http://id.example/keys", "must be https"),
        ("QMTL_AUTH_JWKS", "http://a:hidden@id.example/keys", "must be https"),
        ("QMTL_AUTH_JWKS", "http://id.example/keys?key=hidden", "must be https: whoever changes"),
        ("QMTL_AUTH_JWKS", "https://[id.example/keys", "is no URL"),
        ("QMTL_PAPER_EXECUTOR", "Not A Name", "must be 1 to 63 characters"),
    ],
)
def test_what_the_rules_of_security_and_names_refuse_is_named(variable: str, value: str, part: str) -> None:
    [(name, says)] = wrong_in(WorldSettings, {**WORLD, variable: value}).items()
    assert name == variable
    assert part in says
    assert "hidden" not in says


def test_an_address_of_another_machine_needs_certificates() -> None:
    environ = {**WORLD, **DIALS, "QMTL_WORLD_ADDRESS": "world:9000", "QMTL_LISTEN": "0.0.0.0:9000"}
    assert set(wrong_in(GatewaySettings, environ)) == {"QMTL_WORLD_ADDRESS", "QMTL_LISTEN"}
    assert wrong_in(GatewaySettings, {**environ, **TLS}) == {}


def test_all_faults_are_found_at_once_also_those_that_the_settings_refuse() -> None:
    environ = {
        **{name: value for name, value in WORLD.items() if name != "QMTL_AUTH_ISSUER"},
        **{name: value for name, value in TLS.items() if name != "QMTL_TLS_KEY"},
        "QMTL_KEEP_DAYS": "0",
        "QMTL_KEEP_SERIES_DAYS": "0",
        "QMTL_NATS_REPLICAS": "x",
        "QMTL_PAPER_EXECUTOR": "-",
    }
    faults = {"QMTL_AUTH_ISSUER", "QMTL_TLS_KEY", *(set(environ) - set(WORLD) - set(TLS))}
    assert set(wrong_in(WorldSettings, environ)) == faults


def test_a_mode_without_a_venue_is_refused() -> None:
    environ = {
        **WORLD,
        "QMTL_WORLD_ADDRESS": "localhost:1",
        "QMTL_GATEWAY_ADDRESS": "localhost:2",
        "QMTL_TOKEN_FILE": "t",
    }
    assert list(wrong_in(ExecutorSettings, {**environ, "QMTL_MODE": "live"})) == ["QMTL_MODE"]


@pytest.mark.parametrize(
    ("variable", "mend"),
    [
        ("QMTL_KEEP_DAY", "is it QMTL_KEEP_DAYS?"),
        ("QMTL_POSTGRES_DNS", "is it QMTL_POSTGRES_DSN?"),
        ("QMTL_NATS_URL_FILES", "is it QMTL_NATS_URL_FILE?"),
        ("QMTL_SOMETHING", "unset it, unless it is for another program"),
    ],
)
def test_a_name_that_nobody_reads_is_a_warning_with_what_it_may_have_been(variable: str, mend: str) -> None:
    found = found_in(WorldSettings, {**WORLD, variable: "hidden"})[variable]
    assert (found.verdict, found.mend) == (Verdict.WARNING, mend)
    assert "hidden" not in found.says


def test_a_variable_that_is_read_beside_the_settings_is_known() -> None:
    assert "QMTL_CACHE_DIR" in found_in(WorldSettings, {**WORLD, "QMTL_CACHE_DIR": "/x"})
    assert "QMTL_CACHE_DIR" not in found_in(WorldSettings, {**WORLD, "QMTL_CACHE_DIR": "/x"}, "QMTL_CACHE_DIR")


def test_a_secret_may_be_in_a_file_that_can_be_read_and_holds_something(tmp_path: Path) -> None:
    file = tmp_path / "url"
    environ = {**WORLD, "QMTL_NATS_URL": "", "QMTL_NATS_URL_FILE": str(file)}
    [(variable, says)] = wrong_in(WorldSettings, environ).items()
    assert (variable, "cannot be read" in says) == ("QMTL_NATS_URL", True)
    file.write_text("\n")
    assert "which is empty" in wrong_in(WorldSettings, environ)["QMTL_NATS_URL"]
    file.write_text(WORLD["QMTL_NATS_URL"] + "\n")
    assert found_in(WorldSettings, environ)["QMTL_NATS_URL"] == Finding(
        "QMTL_NATS_URL", Verdict.OK, f"set, by the file {file}"
    )
    both = found_in(WorldSettings, {**environ, "QMTL_NATS_URL": WORLD["QMTL_NATS_URL"]})["QMTL_NATS_URL"]
    assert (both.verdict, both.mend) == (Verdict.WARNING, "unset one of the two")


def test_no_secret_is_told(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("postgresql://a:hidden@localhost/b")
    environ = {**WORLD, "QMTL_POSTGRES_DSN": "", "QMTL_POSTGRES_DSN_FILE": str(file)}
    shown = {each.variable: each for each in shown_settings(WorldSettings, environ)}
    assert "hidden" not in f"{shown} {found_in(WorldSettings, environ)}"
    assert (shown["QMTL_POSTGRES_DSN"].value, shown["QMTL_POSTGRES_DSN"].source) == ("***", "QMTL_POSTGRES_DSN_FILE")
    assert (shown["QMTL_NATS_URL"].value, shown["QMTL_NATS_URL"].source) == ("***", "environment")


def test_a_password_in_a_url_that_is_no_secret_is_not_told_either() -> None:
    environ = {**WORLD, "QMTL_AUTH_JWKS": "https://a:hidden@id.example/keys"}
    shown = {each.variable: each.value for each in shown_settings(WorldSettings, environ)}
    assert shown["QMTL_AUTH_JWKS"] == "https://***@id.example/keys"
    assert found_in(WorldSettings, environ)["QMTL_AUTH_JWKS"].says == "https://***@id.example/keys"


def test_effective_settings_say_where_each_is_from_and_what_is_wrong() -> None:
    shown = {each.variable: each for each in shown_settings(WorldSettings, {**WORLD, "QMTL_NATS_REPLICAS": "x"})}
    assert (shown["QMTL_LISTEN"].value, shown["QMTL_LISTEN"].source) == ("127.0.0.1:9000", "environment")
    assert (shown["QMTL_KEEP_DAYS"].value, shown["QMTL_KEEP_DAYS"].source) == ("7", "default")
    assert (shown["QMTL_NATS_REPLICAS"].value, shown["QMTL_NATS_REPLICAS"].fault) == ("", "'x' is no whole number")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            "sslmode=verify-full",
            "it does not say who signs the server's certificate: add &sslrootcert=FILE",
        ),
        (
            "sslmode=verify-full&sslrootcert=/nowhere/ca.crt",
            "the file /nowhere/ca.crt of its sslrootcert cannot be read",
        ),
        ("sslmode=require&sslkey=/nowhere/own.key", "the file /nowhere/own.key of its sslkey cannot be read"),
    ],
)
def test_a_dsn_says_by_whom_the_server_is_verified(
    query: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    environ = {**WORLD, "QMTL_POSTGRES_DSN": f"postgresql://u:hidden@db.example/qmtl?{query}"}
    assert wrong_in(WorldSettings, environ) == {"QMTL_POSTGRES_DSN": says}
    (tmp_path / "ca.crt").write_text("")
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "ca.crt"))
    if "sslrootcert" not in query and "sslkey" not in query:
        assert wrong_in(WorldSettings, environ) == {}


@pytest.mark.parametrize(
    "url", ["https://u:HIDDEN@h/keys", "https://u:HID/DEN@h/k", "https://u:HID DEN@h/k", "https://h/k?token=HIDDEN"]
)
def test_no_part_of_a_url_that_may_be_secret_is_shown(url: str) -> None:
    shown = repr(shown_settings(WorldSettings, {**WORLD, "QMTL_AUTH_JWKS": url}))
    said = repr(found_in(WorldSettings, {**WORLD, "QMTL_AUTH_JWKS": url}))
    assert "HID" not in shown.replace("HIDDEN@localhost", "")
    assert "HID" not in said
