"""Fill the generated sections of the documents from the code that they describe.

A section stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``python docs/generate.py`` writes them in
place; ``--check`` names those that are stale, and fails.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Final

import yaml
from google.protobuf.descriptor import FileDescriptor

from helm.dashboards.alerts import rules
from qmtl_dagmgr.settings import DagManagerSettings
from qmtl_executor.settings import ExecutorSettings
from qmtl_foundation import dag, requests
from qmtl_foundation.errors import GRPC_STATUS
from qmtl_foundation.execution_domain import ALIASES, DOMAIN_RULES, DowngradeReason, domain_of
from qmtl_foundation.identity import NodeIdentity, canonical_json, node_crc32, node_id
from qmtl_foundation.jetstream import permissions
from qmtl_foundation.jetstream.permissions import HEARD, OWNERS, PUBLISHED
from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_service_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.audit.v1 import audit_service_pb2
from qmtl_foundation.pb.qmtl.control.v1 import session_service_pb2
from qmtl_foundation.pb.qmtl.dataset.v1 import dataset_service_pb2
from qmtl_foundation.pb.qmtl.evaluation.v1 import evaluation_service_pb2
from qmtl_foundation.pb.qmtl.graph.v1 import graph_service_pb2
from qmtl_foundation.pb.qmtl.order.v1 import order_service_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_service_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.rpc import access, interceptor, server
from qmtl_foundation.rpc.access import access_of
from qmtl_foundation.settings import Reading, readings, variable_of
from qmtl_foundation.statistics.catalog import METRICS
from qmtl_gateway.orders import model as orders
from qmtl_gateway.settings import GatewaySettings
from qmtl_sdk.cli import reference
from qmtl_sdk.data.preset import builtin_presets
from qmtl_sdk.operators.catalog import OPERATORS
from qmtl_sdk.strategy.expression import Expression
from qmtl_world.settings import WorldSettings

ROOT: Final = Path(__file__).resolve().parent.parent
PROTOS: Final = ROOT / "protos"
CHART: Final = ROOT / "helm" / "qmtl"
SECTION: Final = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

CONTRACTS: Final[Sequence[FileDescriptor]] = tuple(
    module.DESCRIPTOR
    for module in (
        submission_service_pb2,
        session_service_pb2,
        world_service_pb2,
        evaluation_service_pb2,
        apply_service_pb2,
        order_service_pb2,
        allocation_service_pb2,
        audit_service_pb2,
        graph_service_pb2,
        dataset_service_pb2,
    )
)
SERVICES: Final[Mapping[str, type]] = {
    "gateway": GatewaySettings,
    "world service": WorldSettings,
    "DAG manager": DagManagerSettings,
    "executor": ExecutorSettings,
}
SETTING_MEANINGS: Final[Mapping[str, str]] = {
    "postgres_dsn": "PostgreSQL; never shown in logs or errors",
    "nats_url": "NATS with JetStream",
    "listen": "where it serves gRPC, `host:port`",
    "metrics_listen": "where it serves `/metrics`, `host:port`",
    "health_listen": "where it serves health alone and never encrypted, `host:port`, for "
    "[probes that speak no TLS](#health-and-shutdown); off unless set",
    "world_address": "the world service, `host:port`",
    "dagmgr_address": "the DAG manager, `host:port`",
    "gateway_address": "a gateway, `host:port`; data presets are read there",
    "name": "the name of this gateway, which no other gateway has, or of this executor, as worlds enrol it. Keep it "
    "over restarts: a newer start of the same name takes the older one's place",
    "mode": "whose orders it takes; `paper` only, so far",
    "auth_jwks": "file or https URL of the token issuer's public keys (JWKS); read again every minute",
    "auth_issuer": "the issuer whose tokens are accepted: their claim `iss`",
    "auth_audience": "the audience that tokens must name in their claim `aud`",
    "auth_permissions": "claim that lists a caller's [permissions](security.md#permissions)",
    "auth_name": "claim that names a caller: the author of its strategies, the actor in timelines",
    "auth_skew_seconds": "seconds by which clocks may differ: so long before and after its validity a token counts",
    "token_file": "file of the token for calls of its own, a [service's](security.md#services); read "
    "again when it changes",
    "tls_certificate": "PEM file of its certificate with its chain; certificate, key and ca, or none of them",
    "tls_key": "PEM file of the key of that certificate",
    "tls_ca": "PEM file of the authorities that it trusts: of services it calls, and of those that call it",
    "limits_calls_per_second": "calls that one caller may begin in a second, in the long run "
    "([limits](security.md#limits))",
    "limits_burst": "calls that one caller may begin at once after a pause",
    "limits_calls_at_once": "calls of one caller in progress at the same time",
    "limits_calls_waiting": "calls of one caller that may wait for a free place; more are refused",
    "limits_streams": "open sessions and watches of one caller",
    "log_level": "`debug`, `info`, `warning` or `error`",
    "nats_replicas": "copies of each stream; 3 on a JetStream cluster",
    "keep_days": "days until request ids, their answers and the like are [forgotten](#what-is-forgotten)",
    "paper_executor": "the executor that every world set to paper is given; empty for none",
    "keep_series_days": "days until returns that nothing asks for any more are forgotten",
}
# Operators that are not written as a method of their own name, and what they give.
SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "column": ('`stream["close"]`', "One column of a stream."),
    "constant": ('`self.target({"AAPL": 0.5})`', "The same number on every bar."),
    "add": ("`a + b`", "Sum."),
    "subtract": ("`a - b`", "Difference."),
    "multiply": ("`a * b`", "Product."),
    "divide": ("`a / b`", "Quotient; null where the divisor is 0."),
    "power": ("`a ** b`", "Power; null where it is undefined or infinite."),
    "negative": ("`-a`", "Sign turned."),
    "greater": ("`a > b`", "True or false; null where a side is."),
    "greater_equal": ("`a >= b`", "The same."),
    "less": ("`a < b`", "The same."),
    "less_equal": ("`a <= b`", "The same."),
    "equal": ("`a == b`", "The same."),
    "not_equal": ("`a != b`", "The same."),
    "and": ("`a & b`", "Both; false where one is false, else null where one is unknown."),
    "or": ("`a | b`", "Either; true where one is true, else null where one is unknown."),
    "not": ("`~a`", "Not; null stays null."),
    "as_of": ("by the engine", "The value as of the last closed bar of another clock."),
}


def main(arguments: Sequence[str]) -> int:
    """Write the sections and files, or with ``--check`` only compare; return the exit code."""
    check = list(arguments) == ["--check"]
    fresh = {path: filled(path.read_text()) for path in documents()} | {path: make() for path, make in FILES.items()}
    stale = [path for path, text in fresh.items() if _refresh(path, text, write=not check)]
    if check:
        for path in stale:
            sys.stderr.write(f"not what `make docs` generates: {path.relative_to(ROOT)}\n")
    return 1 if check and stale else 0


def documents() -> list[Path]:
    """Return every Markdown file of the project's texts."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def filled(text: str) -> str:
    """Return a document with its sections as the code has them now; raise KeyError for a section nobody makes."""
    return SECTION.sub(lambda found: f"{found[1]}{GENERATORS[found[2]]()}\n{found[3]}", text)


def _refresh(path: Path, fresh: str, *, write: bool) -> bool:
    if path.exists() and path.read_text() == fresh:
        return False
    if write:
        path.write_text(fresh)
    return True


def execution_domains() -> str:
    """Return what each effective mode means."""
    aliases = {mode: name for name, mode in ALIASES.items()}
    rows = [
        (f"`{mode}`" + (f" (alias `{aliases[mode]}`)" if mode in aliases else ""), f"`{rule.domain}`", rule.orders)
        for mode, rule in DOMAIN_RULES.items()
    ]
    return table(
        ("effective mode", "execution domain", "orders"),
        [*rows, ("anything else, missing, stale", f"`{domain_of(None)}`", "gated off")],
    )


def downgrade_reasons() -> str:
    """Return every reason to compute below what was decided or asked for."""
    said = comments(PROTOS / "qmtl/common/v1/execution.proto")
    return table(
        ("reason", "says"), [(f"`{reason}`", said[f"DOWNGRADE_REASON_{reason.name}"]) for reason in DowngradeReason]
    )


def metrics() -> str:
    """Return the catalog of metrics."""
    return table(
        ("metric", "unit", "formula", "source, and where peers differ"),
        [(f"`{each.name}`", each.unit, f"`{each.formula}`", each.source) for each in METRICS.values()],
    )


def operators() -> str:
    """Return the built-in operators, how they are written and what they take."""
    rows = []
    for name, operator in OPERATORS.items():
        written, gives = SIGNS[name] if name in SIGNS else _method(name)
        rows.append((written, gives, f"`{operator.node_type}`"))
    return table(("written", "value", "in the NodeID"), rows)


def rpcs() -> str:
    """Return the methods of every service, and who may reach them."""
    rows = []
    for service in (each for file in CONTRACTS for each in file.services_by_name.values()):
        said = comments(PROTOS / service.file.name)
        for method in service.methods:
            stated = access_of(method)
            kind = "unary"
            if method.server_streaming:
                kind = "both stream" if method.client_streaming else "stream"
            named = ", ".join(f"`{field}`" for field in (stated.world, stated.strategy) if field)
            rows.append((f"`{service.full_name}/{method.name}`", kind, stated.role.text, named, said[method.name]))
    return table(("method", "kind", "role", "of", "does"), rows)


def error_reasons() -> str:
    """Return the reasons of refusals with their status and what they carry."""
    said = comments(PROTOS / "qmtl/common/v1/error_reason.proto")
    rows = []
    for reason, status in GRPC_STATUS.items():
        comment = said[f"ERROR_REASON_{reason.name}"].removeprefix(f"{status}.").strip()
        rows.append((f"`{reason}`", f"`{status}`", re.sub(r"(\{[^}]*\})", r"`\1`", comment)))
    return table(("reason", "gRPC status", "says, with an example of its metadata"), rows)


def limits() -> str:
    """Return the bounds of requests."""
    mib = 1024 * 1024
    return table(
        ("what", "limit"),
        [
            ("one gRPC message", f"{requests.MAX_MESSAGE_BYTES // mib} MiB"),
            ("a request of any method but `Submit`, `Evaluate` and `Diff`", f"{access.MAX_ORDINARY_BYTES // mib} MiB"),
            ("metadata of one call", f"{server.MAX_METADATA_BYTES // 1024} KiB"),
            ("a submitted DAG", f"{dag.MAX_DAG_BYTES // mib} MiB, {dag.MAX_NODES:,} nodes"),
            ("parameters of a strategy, or of a node", f"{dag.MAX_PARAMS_BYTES // 1024} KiB"),
            ("order intents of one request", f"{orders.MAX_INTENTS:,}, {orders.MAX_INTENT_BYTES // 1024} KiB each"),
            ("a page of a list", f"{requests.MAX_PAGE_SIZE:,} entries; {requests.DEFAULT_PAGE_SIZE} unless stated"),
            ("a unary call without a deadline of its own", f"{interceptor.DEFAULT_DEADLINE_SECONDS:.0f} s"),
            ("calls in flight when a server is told to stop", f"{server.DRAIN_SECONDS:.0f} s to end"),
        ],
    )


def settings() -> str:
    """Return the variables that each service reads."""
    names = dict.fromkeys(name for service in SERVICES.values() for name in readings(service, {}))
    rows = [(f"`{variable_of(name)}`", *_setting(name), SETTING_MEANINGS[name]) for name in names]
    return table(("variable", "default", "read by", "says"), rows)


def nats_permissions() -> str:
    """Return what each service may publish and hear, besides the answers to what it asks."""
    rows = [
        (
            service,
            ", ".join(f"`{each}`" for each in subjects if not each.startswith("$")) or "nothing",
            ", ".join(f"`{each}`" for each in HEARD.get(service, ())) or "nothing",
            ", ".join(f"`{stream}`" for stream, owner in OWNERS.items() if owner == service) or "none",
        )
        for service, subjects in PUBLISHED.items()
    ]
    return table(("user", "publishes", "hears", "owns the streams"), rows)


def alerts() -> str:
    """Return the alerts, with what each says and its runbook."""
    rows = [
        (
            f"`{rule['alert']}`",
            rule["labels"]["severity"],
            f"`{rule['expr']}`" + (f" for {rule['for']}" if "for" in rule else ""),
            f"[{Path(rule['annotations']['runbook']).stem}](../runbooks/{Path(rule['annotations']['runbook']).name})",
        )
        for rule in rules()
    ]
    return table(("alert", "severity", "fires on", "runbook"), rows)


def chart_values() -> str:
    """Return the chart's values with their defaults; what a service has as the gateway has it stands there once."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    document = yaml.compose(text)
    if document is None:
        raise SystemExit("helm/qmtl/values.yaml has no values")
    said = list(_values(document, text.splitlines()))
    of_gateway = {
        path.partition(".")[2]: (default, says) for path, default, says in said if path.startswith("gateway.")
    }
    rows = []
    for path, default, says in said:
        service, _, name = path.partition(".")
        known, meant = of_gateway.get(name, ("", ""))
        if service in ("gateway", "stores") or says or default != known:
            rows.append((f"`{path}`", f"`{default}`", (says or meant).replace("<", "\\<")))
    return table(("value", "default", "says"), rows)


def _values(node: yaml.Node, lines: Sequence[str], path: str = "", of_all: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the path of each value, its default, and what its line says; a mapping on one line is one value.

    A switch says what is said of all that it switches.
    """
    for key, value in node.value:
        name, says = f"{path}{key.value}", lines[key.start_mark.line].partition(" # ")[2]
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style and key.value != "resources":
            yield from _values(value, lines, f"{name}.", says)
        else:
            default = yaml.safe_load(yaml.serialize(value))
            shown = yaml.safe_dump(default, default_flow_style=True, sort_keys=False, width=1_000)
            switched = of_all if key.value == "enabled" else ""
            yield name, shown.removesuffix("...\n").strip(), "; ".join(filter(None, (switched, says)))


def presets() -> str:
    """Return the built-in data presets."""
    return table(
        ("preset", "symbols", "interval", "range, half-open", "calendar", "adjustments"),
        [
            (f"`{each.name}`", ", ".join(each.symbols), each.interval, f"[{each.start}, {each.end})", each.calendar,
             f"`{each.adjustments}`")
            for each in builtin_presets().values()
        ],
    )  # fmt: skip


def identity_example() -> str:
    """Return the identities of the nodes of ``self.bars()["close"].rolling_mean(10)``."""
    stream = NodeIdentity("stream/1", 0, 1, {"stream": "bars", "symbols": "world"})
    close = NodeIdentity("op.column/1", 0, 1, {"column": "close"}, (("stream", node_id(stream)),))
    mean = NodeIdentity("op.rolling_mean/1", 0, 10, {"window": 10}, (("value", node_id(close)),))
    shown = []
    for title, node in (("self.bars()", stream), ('["close"]', close), (".rolling_mean(10)", mean)):
        name = node_id(node)
        shown.append(f"{title}\n  {canonical_json(node.canonical()).decode()}\n  {name}\n  CRC-32 {node_crc32(name)}")
    return "```\n" + "\n".join(shown) + "\n```"


GENERATORS: Final[Mapping[str, Callable[[], str]]] = {
    "cli-commands": reference.commands,
    "cli-exit-codes": reference.exit_codes,
    "execution-domains": execution_domains,
    "downgrade-reasons": downgrade_reasons,
    "metrics": metrics,
    "operators": operators,
    "rpcs": rpcs,
    "nats-permissions": nats_permissions,
    "error-reasons": error_reasons,
    "limits": limits,
    "settings": settings,
    "alerts": alerts,
    "chart-values": chart_values,
    "presets": presets,
    "identity-example": identity_example,
}

FILES: Final[Mapping[Path, Callable[[], str]]] = {CHART / "nats" / "users.conf": permissions.configuration}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a ``|`` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def comments(path: Path) -> dict[str, str]:
    """Return what stands in comments above each method and enum value of a .proto file, on one line."""
    return dict(_commented(path.read_text().splitlines()))


def _commented(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    said: list[str] = []
    for line in map(str.strip, lines):
        if line.startswith("//"):
            said.append(line.removeprefix("//").strip())
            continue
        named = re.match(r"rpc (\w+)|([A-Z][A-Z0-9_]+) = \d+;", line)
        if named:
            yield named[1] or named[2], " ".join(said)
        said = []


def _method(name: str) -> tuple[str, str]:
    """Return how a method of nodes is called, and the first line of what it says of itself."""
    method = getattr(Expression, name)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    written = ", ".join(
        each.name if each.default is each.empty else f"{each.name}={each.default}" for each in parameters
    )
    return f"`x.{name}({written})`", (inspect.getdoc(method) or "").split("\n", 1)[0].replace("``", "`")


def _setting(name: str) -> tuple[str, str]:
    """Return the default of a setting, of each reader in its turn where they differ, and its readers."""
    stated = {service: readings(owner, {}).get(name) for service, owner in SERVICES.items()}
    read = {service: each for service, each in stated.items() if each is not None}
    found = dict.fromkeys(_default(each) for each in read.values())
    return ", ".join(found), "all" if len(read) == len(SERVICES) else ", ".join(read)


def _default(setting: Reading) -> str:
    return "required" if setting.default is MISSING else f"`{'' if setting.default is None else setting.default}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
