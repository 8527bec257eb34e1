"""``qmtl config`` against a real stack: all is well, then each fault is provoked and named with its mend."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from qmtl_sdk.cli.main import run
from qmtl_sdk.local import nats, postgres, service
from qmtl_sdk.local.certificates import make_certificates, pair_of
from qmtl_sdk.local.progress import StackStatus
from qmtl_sdk.local.service import SERVICES
from qmtl_sdk.local.stack import up
from qmtl_sdk.local.state import Endpoint, Layout
from tests.support.beside import free_port
from tests.support.credentials import ground_of, issuer_of
from tests.support.stack import guarded_directory
from tests.support.waiting import wait_until

Validate = Callable[..., tuple[int, dict[str, Any]]]
WAIT_SECONDS = 60.0
PASSWORD = "right"  # noqa: S105  # of a server that lives for a test


@pytest.fixture(scope="module")
def whole() -> Iterator[StackStatus]:
    """Give a stack of the module's own: what is provoked here its servers log as denied."""
    with guarded_directory() as directory:
        yield up(directory)


def settings(stack: StackStatus, name: str, **changed: str) -> dict[str, str]:
    """Return what one more service of a name would be started with beside a stack's."""
    parts = {each.name: Endpoint(each.address, each.metrics_address) for each in stack.processes}
    own = Endpoint(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    ground = ground_of(stack.state_dir, parts["postgres"].address, parts["nats"].address)
    kind = next(each for each in SERVICES if each.name == name)
    return {**service.settings(kind, {**parts, name: own}, ground), **changed}


@pytest.fixture
def validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Validate:
    """Give a function that runs ``qmtl config validate`` with settings, and returns its code and findings."""

    def call(name: str, stated: Mapping[str, str], *options: str) -> tuple[int, dict[str, Any]]:
        file = tmp_path / f"{name}.env"
        file.write_text("".join(f"{variable}={value}\n" for variable, value in stated.items()))
        code = run(["config", "validate", name, "--env-file", str(file), "--output", "json", *options])
        out, err = capsys.readouterr()
        assert err == ""
        assert "hidden" not in out
        return code, {each["what"]: each for each in json.loads(out)["findings"]}

    return call


def faults(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the mend of each fault."""
    return {what: each["mend"] for what, each in found.items() if each["verdict"] == "fault"}


@pytest.mark.parametrize("name", [each.name for each in SERVICES])
def test_what_a_stack_starts_a_service_with_is_well(whole: StackStatus, validate: Validate, name: str) -> None:
    code, found = validate(name, settings(whole, name))
    assert (code, {each["verdict"] for each in found.values()}) == (0, {"ok"}), found
    assert {"PostgreSQL", f"schema {name}", "NATS", "NATS, JetStream", "keys", "port of QMTL_LISTEN"} <= set(found)
    upstreams = {
        "gateway": {"world service", "DAG manager", "token"},
        "executor": {"world service", "gateway", "token"},
    }
    assert upstreams.get(name, set()) <= set(found)


def test_a_service_whose_ports_are_taken_is_told_so(whole: StackStatus, validate: Validate) -> None:
    [address] = [each.address for each in whole.processes if each.name == "world"]
    code, found = validate("world", settings(whole, "world", QMTL_LISTEN=address))
    assert (code, list(faults(found))) == (4, ["port of QMTL_LISTEN"])
    assert "running already?" in found["port of QMTL_LISTEN"]["mend"]
    assert validate("world", settings(whole, "world", QMTL_LISTEN=address), "--offline")[0] == 0


def test_offline_looks_at_variables_and_files_and_connects_to_nothing(whole: StackStatus, validate: Validate) -> None:
    away = settings(
        whole,
        "gateway",
        QMTL_POSTGRES_DSN="postgresql://a:hidden@127.0.0.1:1/b",
        QMTL_NATS_URL="nats://a:hidden@127.0.0.1:1",
        QMTL_AUTH_JWKS=f"http://127.0.0.1:{free_port()}/keys",
    )
    code, found = validate("gateway", away, "--offline")
    assert (code, set(found)) == (0, {*away, "token"})
    code, found = validate("gateway", {**away, "QMTL_KEEP_DAY": "3", "QMTL_TOKEN_FILE": "/nowhere"}, "--offline")
    assert (code, list(faults(found))) == (4, ["token"])
    assert (found["QMTL_KEEP_DAY"]["verdict"], found["QMTL_KEEP_DAY"]["mend"]) == ("warning", "is it QMTL_KEEP_DAYS?")


def test_servers_that_are_away_are_named_each(whole: StackStatus, validate: Validate) -> None:
    away = settings(
        whole,
        "gateway",
        QMTL_POSTGRES_DSN=f"postgresql://a:hidden@127.0.0.1:{free_port()}/b",
        QMTL_NATS_URL=f"nats://a:hidden@127.0.0.1:{free_port()}",
        QMTL_AUTH_JWKS=f"http://127.0.0.1:{free_port()}/keys",
        QMTL_WORLD_ADDRESS=f"127.0.0.1:{free_port()}",
        QMTL_DAGMGR_ADDRESS=f"127.0.0.1:{free_port()}",
    )
    code, found = validate("gateway", away)
    assert (code, set(faults(found))) == (4, {"keys", "PostgreSQL", "NATS", "world service", "DAG manager"})
    assert all(each["mend"].startswith("start ") for each in found.values() if each["verdict"] == "fault")
    for what in ("PostgreSQL", "NATS", "world service", "DAG manager", "keys"):
        assert "refused" in found[what]["says"] or "Connect call failed" in found[what]["says"]


@contextmanager
def asking_for_passwords(stack: StackStatus) -> Iterator[None]:
    """Let PostgreSQL ask the gateway's role for its password."""
    cluster = postgres.prepare(Layout(stack.state_dir).postgres)
    hba = cluster.data / "pg_hba.conf"
    before = hba.read_text()

    def psql(statement: str) -> None:
        subprocess.run((str(cluster.binaries / "psql"), "--quiet", "--command", statement, cluster.dsn), check=True)

    psql(f"ALTER ROLE qmtl_gateway PASSWORD '{PASSWORD}'")
    hba.write_text(f"local all qmtl_gateway scram-sha-256\n{before}")
    psql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        hba.write_text(before)
        psql("SELECT pg_reload_conf()")


def test_a_wrong_password_of_postgresql_is_named(whole: StackStatus, validate: Validate) -> None:
    stated = settings(whole, "gateway")
    with asking_for_passwords(whole):

        def by(password: str) -> dict[str, Any]:
            dsn = stated["QMTL_POSTGRES_DSN"].replace("qmtl_gateway@", f"qmtl_gateway:{password}@")
            return validate("gateway", {**stated, "QMTL_POSTGRES_DSN": dsn})[1]

        wait_until(lambda: bool(faults(by("hidden"))), WAIT_SECONDS)  # the server has read its configuration again
        found = by("hidden")
        assert faults(found) == {"PostgreSQL": "state the role's password in QMTL_POSTGRES_DSN"}
        assert "refuses the login of QMTL_POSTGRES_DSN: password authentication failed" in found["PostgreSQL"]["says"]
        assert faults(by(PASSWORD)) == {}


def test_a_database_or_role_that_is_not_there_is_named(whole: StackStatus, validate: Validate) -> None:
    stated = settings(whole, "world")
    nobody = stated["QMTL_POSTGRES_DSN"].replace("qmtl_world@", "nobody@")
    assert list(faults(validate("world", {**stated, "QMTL_POSTGRES_DSN": nobody})[1])) == ["PostgreSQL"]
    nowhere = stated["QMTL_POSTGRES_DSN"].replace("/qmtl?", "/nowhere?")
    _, found = validate("world", {**stated, "QMTL_POSTGRES_DSN": nowhere})
    assert faults(found) == {"PostgreSQL": "create the database and run `qmtl migrate`, or name another"}


def test_another_service_s_role_and_the_owner_are_named(whole: StackStatus, validate: Validate) -> None:
    stated = settings(whole, "world")
    other = stated["QMTL_POSTGRES_DSN"].replace("qmtl_world@", "qmtl_gateway@")
    _, found = validate("world", {**stated, "QMTL_POSTGRES_DSN": other})
    assert list(faults(found)) == ["schema world"]
    assert found["schema world"]["mend"].startswith("log in as qmtl_world")
    owner = stated["QMTL_POSTGRES_DSN"].replace("qmtl_world@", "qmtl@")
    code, found = validate("world", {**stated, "QMTL_POSTGRES_DSN": owner})
    assert (code, found["PostgreSQL"]["verdict"]) == (0, "warning")
    assert "log in as qmtl_world" in found["PostgreSQL"]["mend"]


@pytest.mark.parametrize(
    ("statement", "verdict", "says", "mend"),
    [
        (
            "UPDATE dagmgr.alembic_version SET version_num = '0000'",
            "fault",
            "is at revision 0000",
            "run `qmtl migrate`",
        ),
        ("UPDATE dagmgr.alembic_version SET version_num = '9999'", "warning", "is at revision 9999", "of the release"),
        ("DELETE FROM dagmgr.alembic_version", "fault", "is not there", "run `qmtl migrate`"),
        ("DROP SCHEMA dagmgr CASCADE", "fault", "is not there", "run `qmtl migrate`"),
    ],
)
def test_a_schema_of_another_revision_is_named(
    whole: StackStatus, validate: Validate, statement: str, verdict: str, says: str, mend: str
) -> None:
    cluster = postgres.prepare(Layout(whole.state_dir).postgres)
    psql = (str(cluster.binaries / "psql"), "--quiet", "--set=ON_ERROR_STOP=1")
    for each in ("DROP DATABASE IF EXISTS spoilt", "CREATE DATABASE spoilt"):
        subprocess.run((*psql, "--command", each, cluster.dsn), check=True)
    dsn = cluster.dsn.replace(f"/{postgres.DATABASE}?", "/spoilt?")
    stated = settings(whole, "dagmgr")
    spoilt = {**stated, "QMTL_POSTGRES_DSN": stated["QMTL_POSTGRES_DSN"].replace("/qmtl?", "/spoilt?")}
    assert list(faults(validate("dagmgr", spoilt)[1])) == ["schema dagmgr"]
    command = (sys.executable, "-m", "qmtl_foundation.postgres.migrate", "qmtl_dagmgr")
    subprocess.run(command, env={"QMTL_POSTGRES_DSN": dsn}, check=True, capture_output=True)
    assert faults(validate("dagmgr", spoilt)[1]) == {}
    subprocess.run((*psql, "--command", statement, dsn), check=True, capture_output=True)
    code, found = validate("dagmgr", spoilt)
    assert code == (4 if verdict == "fault" else 0)
    assert [each["what"] for each in found.values() if each["verdict"] != "ok"] == ["schema dagmgr"]
    assert found["schema dagmgr"]["verdict"] == verdict
    assert says in found["schema dagmgr"]["says"]
    assert mend in found["schema dagmgr"]["mend"]


def test_a_wrong_password_of_nats_and_another_service_s_user_are_named(whole: StackStatus, validate: Validate) -> None:
    stated = settings(whole, "gateway")
    address = stated["QMTL_NATS_URL"].rpartition("@")[2]
    _, found = validate("gateway", {**stated, "QMTL_NATS_URL": f"nats://gateway:hidden@{address}"})
    assert (list(faults(found)), found["NATS"]["says"]) == (["NATS"], "refuses the login")
    _, found = validate("gateway", {**stated, "QMTL_NATS_URL": settings(whole, "world")["QMTL_NATS_URL"]})
    assert list(faults(found)) == ["NATS, permissions"]
    assert "_inbox.gateway" in found["NATS, permissions"]["says"]
    assert "is it gateway's user?" in found["NATS, permissions"]["mend"]
    away = f"127.0.0.1:{free_port()}"
    _, found = validate("gateway", {**stated, "QMTL_NATS_URL": f"{stated['QMTL_NATS_URL']},{away}"})
    assert list(faults(found)) == [f"NATS ({away})"]
    assert found[f"NATS ({address})"]["verdict"] == "ok"


def test_a_nats_server_without_jetstream_is_named(whole: StackStatus, validate: Validate, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "nats.log"
    command = (str(nats.binary()), "--addr", "127.0.0.1", "--port", str(port), "--log", str(log))
    with subprocess.Popen(command) as running:
        try:
            wait_until(lambda: log.exists() and "Server is ready" in log.read_text())
            _, found = validate("dagmgr", settings(whole, "dagmgr", QMTL_NATS_URL=f"nats://127.0.0.1:{port}"))
        finally:
            running.terminate()
    assert (list(faults(found)), found["NATS, JetStream"]["says"]) == (["NATS, JetStream"], "is off")


def test_services_taken_for_each_other_and_a_token_that_is_not_believed_are_named(
    whole: StackStatus, validate: Validate, tmp_path: Path
) -> None:
    stated = settings(whole, "gateway")
    swapped = {"QMTL_WORLD_ADDRESS": stated["QMTL_DAGMGR_ADDRESS"], "QMTL_DAGMGR_ADDRESS": stated["QMTL_WORLD_ADDRESS"]}
    _, found = validate("gateway", {**stated, **swapped})
    assert faults(found) == {"world service": "mend QMTL_WORLD_ADDRESS", "DAG manager": "mend QMTL_DAGMGR_ADDRESS"}
    own = tmp_path / "own"
    other = issuer_of(own)  # an issuer that the services behind do not believe
    changed = {"QMTL_AUTH_JWKS": str(other.jwks), "QMTL_TOKEN_FILE": str(other.service_token("gateway"))}
    _, found = validate("gateway", {**stated, **changed})
    assert set(faults(found)) == {"world service", "DAG manager"}
    assert "refuses the token" in found["world service"]["says"]


def test_an_upstream_that_is_not_encrypted_as_its_caller_is_named(
    whole: StackStatus, validate: Validate, tmp_path: Path
) -> None:
    make_certificates(tmp_path, ("gateway", "world"))
    pair = pair_of(tmp_path, "gateway")
    tls = {
        "QMTL_TLS_CERTIFICATE": str(pair.certificate),
        "QMTL_TLS_KEY": str(pair.key),
        "QMTL_TLS_CA": str(pair_of(tmp_path, "ca").certificate),
    }
    _, found = validate("gateway", settings(whole, "gateway", **tls))
    assert set(faults(found)) == {"world service", "DAG manager"}
    assert "do not trust each other" in found["world service"]["says"]
    spoilt = {**tls, "QMTL_TLS_KEY": str(pair_of(tmp_path, "world").key)}
    code, found = validate("gateway", settings(whole, "gateway", **spoilt))
    assert (code, list(faults(found))) == (4, ["certificate"])
    assert "QMTL_TLS_KEY" in found["certificate"]["mend"]


def test_a_service_that_is_down_itself_and_its_ground_are_named_after_a_kill(
    whole: StackStatus, validate: Validate
) -> None:
    for name, what in (("nats", "NATS"), ("postgres", "PostgreSQL")):
        process = psutil.Process(next(each.pid for each in whole.processes if each.name == name))
        process.kill()
        psutil.wait_procs([process], timeout=5)
        assert what in faults(validate("gateway", settings(whole, "gateway"))[1])
    wait_until(lambda: "world service" in faults(validate("gateway", settings(whole, "gateway"))[1]), WAIT_SECONDS)
    _, found = validate("gateway", settings(whole, "gateway"))
    assert found["world service"]["mend"] == "its log says what it waits for"
    up(whole.state_dir)


def test_settings_are_shown_without_secrets(
    whole: StackStatus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = settings(whole, "gateway")
    file = tmp_path / "gateway.env"
    file.write_text("".join(f"{variable}={value}\n" for variable, value in stated.items()))
    assert run(["config", "show", "gateway", "--env-file", str(file), "--output", "json"]) == 0
    out = capsys.readouterr().out
    shown = {each["variable"]: (each["value"], each["source"]) for each in json.loads(out)["settings"]}
    assert shown["QMTL_LISTEN"] == (stated["QMTL_LISTEN"], "environment")
    assert shown["QMTL_KEEP_DAYS"] == ("7", "default")
    assert shown["QMTL_NATS_URL"] == ("***", "environment")
    assert stated["QMTL_NATS_URL"] not in out
    file.write_text("QMTL_LISTEN=x\n")
    assert run(["config", "show", "gateway", "--env-file", str(file)]) == 4
    assert "is not host:port" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code"), [((), 78), (("--check",), 78), (("--check", "--offline"), 78), (("--show",), 78)]
)
def test_the_program_itself_ends_as_a_start_would(options: tuple[str, ...], code: int) -> None:
    ended = subprocess.run((sys.executable, "-m", "qmtl_world", *options), env={}, capture_output=True, text=True)
    assert ended.returncode == code
    assert "QMTL_LISTEN" in ended.stdout + ended.stderr


def test_the_program_itself_tells_its_ground_from_its_settings(whole: StackStatus) -> None:
    away = settings(whole, "world", QMTL_NATS_URL=f"nats://127.0.0.1:{free_port()}")
    ended = subprocess.run((sys.executable, "-m", "qmtl_world", "--check"), env=away, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (69, "")
    assert "mend host and port in QMTL_NATS_URL" in ended.stdout
