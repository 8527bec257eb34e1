"""What the chart lets its pods do: as little as they need. Who may speak to whom is compared with who is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from qmtl_foundation.rpc.server import DRAIN_SECONDS
from tests.helm.chart import CHART, Helm, Manifests, Pod, Refused, changed, values_of

SERVICES = ("gateway", "world", "dagmgr", "executor")
Edge = tuple[str, str, int]


def everything(manifests: Manifests) -> Iterator[tuple[Pod, Mapping[str, Any]]]:
    """Yield each container with its pod."""
    for pod in manifests.pods():
        for container in pod.containers:
            yield pod, container


def test_every_pod_keeps_to_the_restricted_standard(manifests: Manifests) -> None:
    """The rules of https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and more."""
    for pod, container in everything(manifests):
        of_pod, own = pod.spec["securityContext"], container["securityContext"]
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["runAsUser"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["privileged"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert not {"runAsUser", "runAsNonRoot", "seccompProfile"} & set(own)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec)
        assert not [port for port in container.get("ports", []) if "hostPort" in port]
        kinds = {kind for volume in pod.spec.get("volumes", []) for kind in volume} - {"name"}
        assert kinds <= {"emptyDir", "secret", "configMap"}


def test_no_pod_has_a_token_of_the_cluster_nor_any_right_in_it(manifests: Manifests) -> None:
    for pod in manifests.pods():
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["enableServiceLinks"] is False
    accounts = manifests.of_kind("ServiceAccount")
    assert accounts
    assert {each["automountServiceAccountToken"] for each in accounts} == {False}
    assert not manifests.of_kind("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


def test_every_service_has_an_account_of_its_own(manifests: Manifests) -> None:
    accounts = {each["metadata"]["name"] for each in manifests.of_kind("ServiceAccount")}
    used = [pod.spec["serviceAccountName"] for pod in manifests.pods() if pod.component != "test"]
    assert sorted(used) == sorted(accounts)


def test_every_container_states_what_it_needs(manifests: Manifests) -> None:
    for _, container in everything(manifests):
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_a_pod_has_longer_to_end_than_its_drain(manifests: Manifests) -> None:
    for deployment in manifests.of_kind("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert spec["terminationGracePeriodSeconds"] > before + DRAIN_SECONDS


def test_who_is_called_through_a_service_leaves_it_before_it_refuses_calls(manifests: Manifests) -> None:
    called = {
        each["spec"]["selector"]["app.kubernetes.io/component"]
        for each in manifests.of_kind("Service")
        if any(port["name"] == "grpc" for port in each["spec"]["ports"])
    }
    assert called == {"gateway", "world", "dagmgr"}
    for component in called:
        assert manifests.pod(component).container["lifecycle"]["preStop"]["sleep"]["seconds"] > 0


def test_probes_ask_where_health_is_served_alone(manifests: Manifests) -> None:
    for deployment in manifests.of_kind("Deployment"):
        pod = Pod(deployment, deployment["spec"]["template"])
        container = pod.container
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert pod.environment["QMTL_HEALTH_LISTEN"] == f"0.0.0.0:{container[probe]['grpc']['port']}"
        assert container["livenessProbe"]["grpc"]["service"] == "live"
        asked = container["readinessProbe"]["grpc"].get("service", "")
        assert asked == ("" if container["name"] == "executor" else "postgres")


def test_what_can_be_disrupted_keeps_all_but_one(manifests: Manifests) -> None:
    for budget in manifests.of_kind("PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
    budgets = {each["metadata"]["name"] for each in manifests.of_kind("PodDisruptionBudget")}
    assert budgets == {"qmtl-gateway", "qmtl-world", "qmtl-dagmgr"}


def test_a_second_executor_never_runs_beside_the_first(rendered: dict[str, Manifests]) -> None:
    spec = rendered["production"].named("Deployment", "qmtl-executor")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_no_secret_is_in_what_is_rendered(manifests: Manifests) -> None:
    assert not manifests.of_kind("Secret")
    for _, container in everything(manifests):
        for each in container.get("env", []):
            if "PASSWORD" in each["name"] or each["name"] == "QMTL_POSTGRES_DSN":
                assert "valueFrom" in each or "$(STORES_PASSWORD)" in each["value"]


def told(manifests: Manifests) -> set[Edge]:
    """Return who is told of whose port: by the names of Services in commands and environments."""
    services = {
        (each["metadata"]["name"], port["port"]): each["spec"]["selector"]["app.kubernetes.io/component"]
        for each in manifests.of_kind("Service")
        for port in each["spec"]["ports"]
    }
    edges = set()
    for pod, container in everything(manifests):
        texts = [each.get("value", "") for each in container.get("env", [])] + list(container.get("command", []))
        for name, port in re.findall(r"([a-z0-9-]+):(\d+)", " ".join(texts)):
            if (name, int(port)) in services:
                edges.add((pod.component, services[name, int(port)], int(port)))
    return edges


def selects(selector: Mapping[str, Any], pod: Pod) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= pod.labels.items())


def admits(rules: Sequence[Mapping[str, Any]], peers: str, pod: Pod, port: int) -> bool:
    """Tell whether one of the rules is of a pod of this namespace and a port."""
    for rule in rules:
        named = [each["port"] for each in rule.get("ports", [])]
        to = rule.get(peers, [])
        of_pods = [each["podSelector"] for each in to if "podSelector" in each and "namespaceSelector" not in each]
        if (not named or port in named) and (not to or any(selects(each, pod) for each in of_pods)):
            return True
    return False


def allowed(manifests: Manifests) -> set[Edge]:
    """Return whose port each pod reaches, by the rules of NetworkPolicies: what selects a pod adds up."""
    pods, policies = manifests.pods(), [each["spec"] for each in manifests.of_kind("NetworkPolicy")]
    ports = sorted({port["containerPort"] for pod in pods for each in pod.containers for port in each.get("ports", [])})

    def lets(pod: Pod, direction: str, peers: str, other: Pod, port: int) -> bool:
        chosen = [each for each in policies if selects(each["podSelector"], pod)]
        assert any(direction.title() in each["policyTypes"] for each in chosen)
        return any(admits(each.get(direction, []), peers, other, port) for each in chosen)

    return {
        (pod.component, other.component, port)
        for pod in pods
        for other in pods
        for port in ports
        if pod is not other and lets(pod, "egress", "to", other, port) and lets(other, "ingress", "from", pod, port)
    }


@pytest.mark.parametrize("name", ["minimal", "in-chart-stores", "cert-manager", "production"])
def test_each_pod_reaches_those_it_is_told_of_and_no_other(rendered: dict[str, Manifests], name: str) -> None:
    assert allowed(rendered[name]) == told(rendered[name])


def test_what_is_told_of_is_what_the_services_call(rendered: dict[str, Manifests]) -> None:
    calls = {(caller, called, 9000) for caller, called in (("gateway", "world"), ("gateway", "dagmgr"))}
    calls |= {("executor", "world", 9000), ("executor", "gateway", 9000), ("test", "gateway", 9000)}
    assert told(rendered["minimal"]) == calls
    stores = {
        (each, store, port) for each in (*SERVICES, "migrate") for store, port in (("postgres", 5432), ("nats", 4222))
    }
    assert told(rendered["in-chart-stores"]) == calls | stores


def leaving(manifests: Manifests, component: str) -> set[tuple[int, str]]:
    """Return the ports that a pod reaches beyond the release, and of whom: a text of the peers, empty for anyone."""
    found = set()
    for policy in manifests.of_kind("NetworkPolicy"):
        if not selects(policy["spec"]["podSelector"], manifests.pod(component)):
            continue
        for rule in policy["spec"].get("egress", []):
            peers = [each for each in rule.get("to", []) if set(each) != {"podSelector"}]
            if peers or not rule.get("to"):
                names = re.findall(r"name': '([\w-]+)'|cidr': '([\d./]+)'", str(peers))
                found |= {(port["port"], " ".join(filter(None, map("".join, names)))) for port in rule["ports"]}
    return found


def test_beyond_the_release_a_pod_reaches_names_stores_and_the_issuer(rendered: dict[str, Manifests]) -> None:
    names = (53, "kube-system")
    assert leaving(rendered["minimal"], "world") == {names, (5432, ""), (4222, "")}
    assert leaving(rendered["minimal"], "migrate") == {names, (5432, "")}
    assert leaving(rendered["minimal"], "test") == {names}
    assert leaving(rendered["in-chart-stores"], "world") == {names}
    assert leaving(rendered["in-chart-stores"], "postgres") == set()
    named = {names, (5432, "databases"), (4222, "nats"), (443, ""), (4317, "observability")}
    assert leaving(rendered["production"], "world") == named
    assert leaving(rendered["production"], "executor") == {*named, (443, "198.51.100.0/24")}
    assert leaving(rendered["production"], "migrate") == {names, (5432, "databases")}


@pytest.mark.parametrize(("url", "port"), [("https://id.example:8443/keys", 8443), ("https://[2001:db8::1]/", 443)])
def test_the_issuer_is_reached_at_the_port_of_its_url(helm: Helm, url: str, port: int) -> None:
    manifests = helm.render(changed(values_of("cert-manager"), "auth.jwks.url", url))
    assert leaving(manifests, "gateway") == {(53, "kube-system"), (5432, ""), (4222, ""), (port, "")}


@pytest.mark.parametrize(
    "url", ["http://id.example/keys", "https://ann:secret@id.example/", "https://id.example:port/"]
)
def test_the_issuer_s_keys_are_at_an_address_of_https(helm: Helm, url: str) -> None:
    with pytest.raises(Refused, match=r"at '/auth/jwks/url'"):
        helm.render(changed(values_of("cert-manager"), "auth.jwks.url", url))


def entering(manifests: Manifests, component: str) -> set[tuple[int, str]]:
    """Return the ports of a pod that are reached from beyond the release, and by whom."""
    found = set()
    for policy in manifests.of_kind("NetworkPolicy"):
        if selects(policy["spec"]["podSelector"], manifests.pod(component)):
            for rule in policy["spec"].get("ingress", []):
                peers = [each for each in rule.get("from", []) if set(each) != {"podSelector"}]
                if peers or not rule.get("from"):
                    names = re.findall(r"name': '([\w-]+)'", str(peers))
                    found |= {(port["port"], " ".join(names)) for port in rule["ports"]}
    return found


def test_from_beyond_the_release_the_gateway_alone_is_called_and_prometheus_alone_reads_metrics(
    rendered: dict[str, Manifests],
) -> None:
    assert entering(rendered["minimal"], "gateway") == {(9000, "")}
    assert entering(rendered["production"], "gateway") == {(9000, "gateways"), (9001, "monitoring")}
    for component in ("world", "dagmgr", "executor"):
        assert entering(rendered["minimal"], component) == set()
        assert entering(rendered["production"], component) == {(9001, "monitoring")}
    for component in ("migrate", "test"):
        assert entering(rendered["production"], component) == set()


# Each is the path of a value and a value that it must not have; Helm's refusal names the path.
NONSENSE: Sequence[tuple[str, Any]] = (
    ("auth.issuer", ""),
    ("auth.audience", ""),
    ("auth.skewSeconds", -1),
    ("auth.jwks", {}),
    ("auth.jwks.secretName", "as-well"),
    ("auth.jwks.key", "a, path: b"),
    ("auth.jwk", {}),
    ("image.repository", ""),
    ("image.repository", "registry.example/qmtl:1"),
    ("image.tag", "la test"),
    ("image.digest", "sha256:abc"),
    ("image.pullPolicy", "Sometimes"),
    ("fullnameOverride", "1desk"),
    ("postgres.caKey", "ca crt"),
    ("tls.enabled", False),
    ("tls.certManager.enabled", True),
    ("tls.certManager.duration", "90 days"),
    ("logLevel", "verbose"),
    ("podLabels.team", "platform team"),
    ("natsReplicas", 2),
    ("otel.QMTL_LISTEN", "0.0.0.0:1"),
    ("terminationGracePeriodSeconds", 29),
    ("topologySpread.whenUnsatisfiable", "Never"),
    ("gateway.replicas", 0),
    ("gateway.replicas", "two"),
    ("gateway.replica", 2),
    ("gateway.limits.burst", 0),
    ("gateway.autoscaling.targetCPUUtilizationPercentage", 500),
    ("gateway.pdb.maxUnavailable", 0),
    ("gateway.pdb.maxUnavailable", "0%"),
    ("gateway.service.type", "ExternalName"),
    ("gateway.service.loadBalancerSourceRanges", ["192.0.2.0/24"]),
    ("gateway.resources.limits.memory", "lots"),
    ("gateway.extraEnv", [{"value": "nameless"}]),
    ("world.keepDays", 0),
    ("world.secretName", "Not_A_Name"),
    ("executor.replicas", 2),
    ("executor.name", "Paper"),
    ("migrate.deadlineSeconds", 1),
    ("migrate.enabled", False),
    ("stores.enabled", "yes"),
    ("stores.postgres.storage", "big"),
    ("ingress.enabled", True),
    ("ingress.host", "qmtl.example:443"),
    ("grpcRoute.hostnames.0", ["192.0.2.1"]),
    ("gateway.hosts.0", ["https://qmtl.example"]),
    ("grpcRoute.enabled", True),
    ("networkPolicy.dns", []),
    ("networkPolicy.metrics", [{}]),
    ("networkPolicy.metrics", [{"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}}]),
    ("networkPolicy.postgres.port", 70_000),
    ("networkPolicy.extraEgress.postgres", []),
    ("serviceMonitor.enabled", True),
    ("serviceMonitor.interval", "often"),
    ("nonsense", 1),
)  # fmt: skip


@pytest.mark.parametrize(("path", "value"), NONSENSE)
def test_nonsense_is_refused_by_its_path(helm: Helm, path: str, value: Any) -> None:
    with pytest.raises(Refused) as caught:
        helm.render(changed(values_of("minimal"), path.removesuffix(".0"), value))
    said = str(caught.value)
    above, _, name = blamed(path).rpartition("/")
    assert f"at '{above}/{name}'" in said or (f"at '{above}'" in said and f"'{name}' not allowed" in said), said


def test_source_ranges_are_those_of_a_load_balancer(helm: Helm) -> None:
    service = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"]}
    manifests = helm.render(changed(values_of("minimal"), "gateway.service", service))
    assert manifests.named("Service", "qmtl-gateway")["spec"]["loadBalancerSourceRanges"] == ["192.0.2.0/24"]


def blamed(path: str) -> str:
    """Return the path that a refusal names, as a JSON pointer: what is needed beside a switch is named in its place."""
    needed = {
        "tls.certManager.enabled": "tls.certManager.issuerRef.name",
        "ingress.enabled": "ingress.host",
        "grpcRoute.enabled": "grpcRoute.caConfigMapName",
        "serviceMonitor.enabled": "networkPolicy.metrics",
        "auth.jwks.secretName": "auth.jwks",
        "gateway.extraEnv": "gateway.extraEnv.0",
        "networkPolicy.metrics": "networkPolicy.metrics.0",
    }
    return "/" + needed.get(path, path).replace(".", "/")


@pytest.mark.parametrize("release", ["my.qmtl", "1qmtl", "qmtl-of-the-desk-for-the-futures-of-chicago-a"])
def test_a_release_whose_name_no_service_can_have_needs_another_one_for_its_objects(helm: Helm, release: str) -> None:
    values = values_of("minimal")
    with pytest.raises(Refused, match="release name or set fullnameOverride"):
        helm.render(values, release=release)
    manifests = helm.render(changed(values, "fullnameOverride", "desk"), release=release)
    assert manifests.pod("world").labels["app.kubernetes.io/instance"] == release


def test_more_replicas_at_least_than_at_most_are_refused(helm: Helm) -> None:
    autoscaling = {"enabled": True, "minReplicas": 5, "maxReplicas": 2}
    with pytest.raises(Refused, match=r"gateway\.autoscaling\.maxReplicas is 2, below minReplicas 5"):
        helm.render(changed(values_of("minimal"), "gateway.autoscaling", autoscaling))


LABELS = (
    ("podLabels", "app.kubernetes.io/component"),
    ("serviceMonitor.labels", "qmtl/metrics"),
    ("prometheusRule.labels", "helm.sh/chart"),
    ("dashboards.labels", "app.kubernetes.io/name"),
)


@pytest.mark.parametrize(("path", "label"), LABELS)
def test_a_label_by_which_the_chart_finds_its_own_is_nobody_else_s(helm: Helm, path: str, label: str) -> None:
    with pytest.raises(Refused) as caught:
        helm.render(changed(values_of("minimal"), path, {label: "mine"}))
    assert f"at '{blamed(path)}/{label.replace('/', '~1')}'" in str(caught.value)


def test_a_collector_s_credential_is_taken_from_a_secret_alone(helm: Helm) -> None:
    values, name = values_of("minimal"), "OTEL_EXPORTER_OTLP_HEADERS"
    with pytest.raises(Refused, match=rf"otel\.{name} .* extraEnv, with valueFrom"):
        helm.render(changed(values, f"otel.{name}", "authorization=secret"))
    with pytest.raises(Refused, match=r"at '/world/extraEnv/0': missing property 'valueFrom'"):
        helm.render(changed(values, "world.extraEnv", [{"name": name, "value": "authorization=secret"}]))
    kept = {"name": name, "valueFrom": {"secretKeyRef": {"name": "collector", "key": "headers"}}}
    assert kept in helm.render(changed(values, "world.extraEnv", [kept])).pod("world").container["env"]


def test_every_pod_can_be_placed(helm: Helm) -> None:
    place = {
        "nodeSelector": {"pool": "services"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    }
    values = changed(values_of("in-chart-stores"), "priorityClassName", "trading")
    for part in (*SERVICES, "migrate", "test", "stores.postgres", "stores.nats"):
        for name, each in place.items():
            values = changed(values, f"{part}.{name}", each)
    for pod in helm.render(values).pods():
        assert {**place, "priorityClassName": "trading"}.items() <= pod.spec.items(), pod.component


def test_the_migration_shows_postgresql_a_certificate_of_its_own(helm: Helm) -> None:
    own: dict[str, list[Any]] = {
        "extraEnv": [{"name": "PGSSLCERT", "value": "/etc/owner/tls.crt"}],
        "extraVolumes": [{"name": "owner", "secret": {"secretName": "owner-tls"}}],
        "extraVolumeMounts": [{"name": "owner", "mountPath": "/etc/owner"}],
    }
    pod = helm.render(changed(values_of("minimal"), "migrate", own)).pod("migrate")
    assert own["extraEnv"][0] in pod.container["env"]
    assert own["extraVolumes"][0] in pod.spec["volumes"]
    assert own["extraVolumeMounts"][0] in pod.container["volumeMounts"]


ADDED: Sequence[tuple[str, str, Any]] = (
    ("gateway.extraEnv", "QMTL_TLS_CA", [{"name": "QMTL_TLS_CA", "value": ""}]),
    ("world.extraEnv", "QMTL_AUTH_ISSUER", [{"name": "QMTL_AUTH_ISSUER", "value": "https://evil.example"}]),
    ("world.extraEnv", "AWS_REGION", [{"name": "AWS_REGION", "value": each} for each in "ab"]),
    ("migrate.extraEnv", "QMTL_POSTGRES_DSN", [{"name": "QMTL_POSTGRES_DSN", "value": "postgresql://"}]),
    ("dagmgr.extraVolumes", "tls", [{"name": "tls", "emptyDir": {}}]),
    ("executor.extraVolumeMounts", "/etc/qmtl/tls", [{"name": "mine", "mountPath": "/etc/qmtl/tls/"}]),
)  # fmt: skip


@pytest.mark.parametrize(("path", "name", "added"), ADDED)
def test_what_is_added_takes_no_place_of_the_chart_s_own(helm: Helm, path: str, name: str, added: Any) -> None:
    with pytest.raises(Refused, match=rf'{re.escape(path)}: \w+ "{name}" is there already'):
        helm.render(changed(values_of("minimal"), path, added))


def defaults(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the path of each value that has a default."""
    for name, value in values.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from defaults(value, f"{above}{name}.")


def test_no_default_can_be_taken_away(helm: Helm) -> None:
    stated = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path in defaults(stated):
        if path == "dashboards.labels.grafana_dashboard":  # one label of any
            continue
        above, _, name = path.rpartition(".")
        with pytest.raises(Refused, match=rf"at '{'/' * bool(above)}{above.replace('.', '/')}'.*\b{name}\b"):
            helm.render(changed(values_of("minimal"), path, None))


def test_what_has_no_share_of_a_processor_is_not_scaled_by_it(helm: Helm) -> None:
    values = changed(values_of("production"), "world.resources.requests.cpu", 0)
    with pytest.raises(Refused, match=r"world\.resources\.requests\.cpu is 0"):
        helm.render(values)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("world.tlsSecretName", "qmtl-gateway-tls", 'tlsSecretName of gateway and of world is "qmtl-gateway-tls"'),
        ("tls.certManager.renewBefore", "2160h", "tls.certManager.renewBefore must be"),
        ("tls.certManager.renewBefore", "1m", "tls.certManager.renewBefore must be"),
        ("tls.certManager.duration", "30m", "and that 1h or more"),
    ],
)
def test_certificates_that_no_manager_can_make_are_refused(helm: Helm, path: str, value: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        helm.render(changed(values_of("cert-manager"), path, value))


def test_values_that_nothing_is_said_about_are_refused_for_what_is_needed(helm: Helm) -> None:
    with pytest.raises(Refused, match=r"auth"):
        helm.render({})
