"""What the chart renders is lawful: for Helm, for Kubernetes, for those whose kinds Kubernetes does not know."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from helm.dashboards.alerts import RULES
from tests.helm.chart import CHART, NAMESPACE, VALUES, Helm, Manifests, changed, values_of

RELEASES = ("1.30", "1.35", "1.36", "1.37")  # the oldest that the chart takes, and the newest three
# Kinds of other projects; no schema of theirs is at hand, so they are held against what their documents demand.
FOREIGN = {
    "Certificate": "cert-manager.io/v1",
    "GRPCRoute": "gateway.networking.k8s.io/v1",
    "BackendTLSPolicy": "gateway.networking.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}


@pytest.mark.parametrize("name", VALUES)
def test_lint_has_nothing_to_say(helm: Helm, name: str) -> None:
    assert helm.lint(values_of(name)) == []


@pytest.mark.parametrize("release", RELEASES)
def test_every_object_fits_the_schema_of_kubernetes(manifests: Manifests, release: str) -> None:
    own = [each for each in manifests.objects if each["kind"] not in FOREIGN]
    assert own
    for each in own:
        kubernetes_validate.validate(each, release, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_seen(rendered: dict[str, Manifests]) -> None:
    spoilt = json.loads(json.dumps(rendered["minimal"].named("Deployment", "qmtl-world")))
    spoilt["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(spoilt, RELEASES[0], strict=True)


def test_objects_have_names_of_their_own_and_the_release_s_namespace(manifests: Manifests) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests.objects]
    assert len(set(names)) == len(names)
    assert {each["metadata"]["namespace"] for each in manifests.objects} == {NAMESPACE}


def test_the_oldest_release_that_is_tried_is_the_oldest_that_the_chart_takes() -> None:
    stated = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["kubeVersion"]
    assert stated == f">={RELEASES[0]}.0-0"


def test_foreign_kinds_are_of_the_versions_that_are_served(manifests: Manifests) -> None:
    found = {each["kind"]: each["apiVersion"] for each in manifests.objects if each["kind"] in FOREIGN}
    assert found.items() <= FOREIGN.items()


@pytest.mark.parametrize("name", ["production", "cert-manager"])
def test_a_certificate_is_good_for_every_name_by_which_its_service_is_called(
    rendered: dict[str, Manifests], name: str
) -> None:
    manifests = rendered[name]
    for certificate in manifests.of_kind("Certificate"):
        spec = certificate["spec"]
        called = spec["commonName"]
        assert {called, f"{called}.{NAMESPACE}.svc"} <= set(spec["dnsNames"])
        assert {"server auth", "client auth"} <= set(spec["usages"])
        assert spec["issuerRef"]["name"]
        mounted = [
            volume["secret"]["secretName"]
            for volume in manifests.pod(certificate["metadata"]["labels"]["app.kubernetes.io/component"]).spec[
                "volumes"
            ]
            if volume["name"] == "tls"
        ]
        assert mounted == [spec["secretName"]]
    services = {each.component for each in manifests.pods()} - {"migrate", "test"}
    assert len(manifests.of_kind("Certificate")) == len(services)


@pytest.mark.parametrize("name", ["in-chart-stores", "production"])
def test_whoever_is_called_by_a_name_shows_a_certificate_of_it(helm: Helm, name: str) -> None:
    manager = {"enabled": True, "issuerRef": {"name": "qmtl-ca"}}
    manifests = helm.render(changed(values_of(name), "tls.certManager", manager))
    certificates = {each["metadata"]["name"]: each["spec"]["dnsNames"] for each in manifests.of_kind("Certificate")}
    environments = [each.get("value", "") for pod in manifests.pods() for each in pod.container.get("env", [])]
    called = {host for text in environments for host in re.findall(r"(?:^|@)(qmtl-[a-z.]+):\d", text)}
    assert {"qmtl-world", "qmtl-dagmgr", "qmtl-gateway"} <= called
    for host in called:
        assert host in certificates[host.partition(".")[0]]


def test_the_gateway_s_certificate_has_the_names_that_clients_call(rendered: dict[str, Manifests]) -> None:
    spec = rendered["production"].named("Certificate", "qmtl-gateway")["spec"]
    assert "qmtl.example" in spec["dnsNames"]


def test_a_host_that_is_an_address_is_one_in_the_certificate(helm: Helm) -> None:
    values = changed(values_of("cert-manager"), "gateway.hosts", ["192.0.2.1", "qmtl.example", "2001:db8::1"])
    spec = helm.render(values).named("Certificate", "qmtl-gateway")["spec"]
    assert spec["ipAddresses"] == ["192.0.2.1", "2001:db8::1"]
    assert spec["dnsNames"][-2:] == ["localhost", "qmtl.example"]


def test_the_notes_delete_the_stores_alone(helm: Helm) -> None:
    values = changed(values_of("in-chart-stores"), "tls.certManager", {"enabled": True, "issuerRef": {"name": "ca"}})
    notes = helm.render(values).notes
    assert "-l 'app.kubernetes.io/instance=qmtl,app.kubernetes.io/component in (postgres,nats)'" in notes
    assert ",certificate " in notes


def test_the_chart_s_own_stores_have_certificates_before_they_start(helm: Helm) -> None:
    manager = {"enabled": True, "issuerRef": {"name": "qmtl-ca"}}
    manifests = helm.render(changed(values_of("in-chart-stores"), "tls.certManager", manager))
    for store in ("postgres", "nats"):
        certificate = manifests.named("Certificate", f"qmtl-{store}")
        assert weight(certificate) < weight(manifests.named("StatefulSet", f"qmtl-{store}"))


def test_the_route_leads_to_the_gateway_and_speaks_tls_to_it(rendered: dict[str, Manifests]) -> None:
    manifests = rendered["production"]
    (rule,) = manifests.named("GRPCRoute", "qmtl-gateway")["spec"]["rules"]
    (backend,) = rule["backendRefs"]
    service = manifests.named("Service", backend["name"])
    assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]
    policy = manifests.named("BackendTLSPolicy", "qmtl-gateway")["spec"]
    (target,) = policy["targetRefs"]
    assert (target["kind"], target["name"]) == ("Service", service["metadata"]["name"])
    assert target["sectionName"] in [port["name"] for port in service["spec"]["ports"]]
    certificate = manifests.named("Certificate", "qmtl-gateway")["spec"]
    assert policy["validation"]["hostname"] in certificate["dnsNames"]
    assert policy["validation"]["caCertificateRefs"] == [{"group": "", "kind": "ConfigMap", "name": "platform-ca"}]


def test_every_service_is_scraped_over_tls_under_the_job_that_the_alerts_know(rendered: dict[str, Manifests]) -> None:
    manifests = rendered["production"]
    monitors = manifests.of_kind("ServiceMonitor")
    assert len(monitors) == 4
    for monitor in monitors:
        selector = monitor["spec"]["selector"]["matchLabels"]
        (service,) = [
            each for each in manifests.of_kind("Service") if selector.items() <= each["metadata"]["labels"].items()
        ]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
        assert endpoint["scheme"] == "https"
        certificate = manifests.named("Certificate", monitor["metadata"]["name"])["spec"]
        assert endpoint["tlsConfig"]["serverName"] in certificate["dnsNames"]
        assert endpoint["tlsConfig"]["ca"]["secret"] == {"name": certificate["secretName"], "key": "ca.crt"}
        (job,) = [each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job"]
        assert job.startswith("qmtl-")


def test_the_alerts_are_those_that_promtool_checks(rendered: dict[str, Manifests]) -> None:
    rule = rendered["production"].named("PrometheusRule", "qmtl-alerts")
    assert rule["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


def test_each_dashboard_is_in_a_config_map_and_none_is_needed(helm: Helm, tmp_path: Path) -> None:
    values = values_of("production")
    chart = tmp_path / "qmtl"
    shutil.copytree(CHART, chart)
    shutil.rmtree(chart / "dashboards", ignore_errors=True)
    bare = helm.render(values, chart=chart)
    (chart / "dashboards").mkdir()
    board = {"title": "Worlds", "panels": [{"legendFormat": "{{world}}"}]}
    (chart / "dashboards" / "some_worlds.json").write_text(json.dumps(board))
    more = helm.render(values, chart=chart)
    assert len(more.objects) == len(bare.objects) + 1
    made = more.named("ConfigMap", "qmtl-dashboard-some-worlds")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["some_worlds.json"]) == board


def weight(each: Mapping[str, Any]) -> int:
    """Return when a hook is made; what is none comes after all of them."""
    annotations = each["metadata"].get("annotations", {})
    hooks = annotations.get("helm.sh/hook", "")
    assert hooks in {"", "test", "pre-install,pre-upgrade"}
    return int(annotations["helm.sh/hook-weight"]) if hooks.startswith("pre-") else 1_000


def test_the_schemas_are_made_before_any_service_and_after_all_that_the_job_needs(manifests: Manifests) -> None:
    job = manifests.named("Job", "qmtl-migrate")
    for each in manifests.of_kind("Deployment"):
        assert weight(job) < weight(each)
    needed = [manifests.named("ServiceAccount", "qmtl-migrate")]
    needed += [each for each in manifests.of_kind("NetworkPolicy") if each["metadata"]["name"] == "qmtl-migrate"]
    needed += [each for each in manifests.objects if each["metadata"]["name"] in {"qmtl-postgres", "qmtl-nats"}]
    for each in needed:
        assert weight(each) < weight(job), each["metadata"]["name"]


def test_what_varies_with_the_release_s_name_is_every_name(helm: Helm) -> None:
    manifests = helm.render(values_of("in-chart-stores"), release="desk")
    assert {each["metadata"]["name"].startswith("desk-qmtl-") for each in manifests.objects} == {True}
    world = manifests.pod("world")
    assert world.spec["serviceAccountName"] == "desk-qmtl-world"
    assert manifests.pod("gateway").environment["QMTL_WORLD_ADDRESS"] == "desk-qmtl-world:9000"


# Values that are names of other objects, by the example that has a use for them.
NAMES = {
    "external-secrets": (
        "auth.jwks.secretName auth.jwks.key postgres.caSecretName postgres.caKey migrate.secretName test.secretName "
        "gateway.secretName world.secretName dagmgr.tlsSecretName"
    ),
    "in-chart-stores": (
        "auth.jwks.configMapName stores.secretName stores.postgres.tlsSecretName stores.postgres.storageClassName "
        "stores.nats.tlsSecretName stores.nats.storageClassName executor.secretName"
    ),
    "production": "postgres.caSecretName tls.certManager.issuerRef.name grpcRoute.caConfigMapName priorityClassName",
    "cert-manager": "ingress.className ingress.tlsSecretName gateway.tlsSecretName",
}


@pytest.mark.parametrize("word", ["true", "0123"])
@pytest.mark.parametrize("example", NAMES)
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(helm: Helm, example: str, word: str) -> None:
    def named(name: str) -> str:
        values = changed(values_of(example), "fullnameOverride", "desk")
        values = changed(values, "nameOverride", name if word.isalpha() else "")
        values = changed(values, "image.pullSecrets", [name])
        for path in NAMES[example].split():
            values = changed(values, path, name)
        return json.dumps(helm.render(values, release=name).objects)

    assert named(word) == named("plainword").replace("plainword", word)


def test_what_scales_by_load_states_no_number_of_replicas(rendered: dict[str, Manifests]) -> None:
    manifests = rendered["production"]
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in manifests.of_kind("HorizontalPodAutoscaler")}
    assert scaled == {"qmtl-gateway", "qmtl-world", "qmtl-dagmgr"}
    for name in scaled:
        assert "replicas" not in manifests.named("Deployment", name)["spec"]


def test_without_an_executor_no_paper_world_is_given_one(rendered: dict[str, Manifests]) -> None:
    assert rendered["external-secrets"].pod("world").environment["QMTL_PAPER_EXECUTOR"] == ""
    assert "executor" not in {each.component for each in rendered["external-secrets"].pods()}


def test_large_numbers_reach_services_as_whole_ones(helm: Helm) -> None:
    values = changed(values_of("minimal"), "gateway.limits.burst", 12_000_000)
    assert helm.render(values).pod("gateway").environment["QMTL_LIMITS_BURST"] == "12000000"


def test_a_host_may_be_a_pattern(helm: Helm) -> None:
    values = changed(values_of("cert-manager"), "gateway.hosts", ["*.desk.example"])
    manifests = helm.render(changed(values, "ingress.host", "*.desk.example"))
    assert "*.desk.example" in manifests.named("Certificate", "qmtl-gateway")["spec"]["dnsNames"]
    assert manifests.named("Ingress", "qmtl-gateway")["spec"]["rules"][0]["host"] == "*.desk.example"


def test_a_chart_of_another_version_changes_no_pod_and_no_selector(helm: Helm, tmp_path: Path) -> None:
    chart = tmp_path / "qmtl"
    shutil.copytree(CHART, chart)
    stated = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    values = values_of("in-chart-stores")
    before = helm.render(values, chart=chart)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**stated, "version": "9.9.9+desk"}))
    after = helm.render(values, chart=chart)
    assert {each["metadata"]["labels"]["helm.sh/chart"] for each in after.objects} == {"qmtl-9.9.9_desk"}
    assert [each.template for each in after.pods()[:-1]] == [each.template for each in before.pods()[:-1]]
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**stated, "appVersion": "9.9.9"}))
    newer = helm.render(values, chart=chart)
    selectors = [each["spec"].get("selector") for each in before.of_kind("Deployment", "Service", "StatefulSet")]
    assert [each["spec"].get("selector") for each in newer.of_kind("Deployment", "Service", "StatefulSet")] == selectors
    assert newer.pod("world").container["image"] == "qmtl:9.9.9"


def test_variables_of_open_telemetry_reach_every_service(rendered: dict[str, Manifests]) -> None:
    for component in ("gateway", "world", "dagmgr", "executor"):
        environment = rendered["production"].pod(component).environment
        assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector.observability:4317"
        assert environment["OTEL_SERVICE_NAME"] == f"qmtl-{component}"
