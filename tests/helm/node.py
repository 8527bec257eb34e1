"""A node of one machine: what was rendered runs as processes here, without containers.

Taken from the manifests: commands, environment, Secrets and ConfigMaps as files, ports, probes. Put in place of a
cluster's own: a name of a Service is a port of the loopback, a mount a folder, the image this environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qmtl_sdk.local import nats, postgres, process
from qmtl_sdk.local.process import Child, Command
from qmtl_sdk.local.start import stopping
from qmtl_sdk.local.state import Layout
from tests.helm.chart import Manifests, Object, Pod
from tests.support.beside import free_port
from tests.support.waiting import wait_until

READY_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 5.0
JOB_SECONDS: Final = 120.0
HOST: Final = "127.0.0.1"
BEHIND: Final = 5433  # where PostgreSQL listens in plain text, behind who encrypts
_LISTENED: Final = re.compile(r"\b(?:0\.0\.0\.0|127\.0\.0\.1):(\d+)")
_VARIABLE: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")

Contents = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Node:
    """Run pods of ``manifests`` below a folder.

    ``secrets`` and ``config_maps`` are those that were there before; ``cluster`` is what the image of PostgreSQL has.
    """

    layout: Layout
    manifests: Manifests
    secrets: Contents
    config_maps: Contents
    cluster: postgres.Cluster
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, component: str) -> None:
        """Start a component's pod, and return when its probes let calls in."""
        pod = self.manifests.pod(component)
        argv, environment = self.command(pod, pod.container)
        account = self.cluster.account if component == "postgres" else None
        command = Command(argv, environment, self.layout.root, self.layout.log(component), account)
        child = process.launch(command, self.layout.record(component))
        self.children[component] = child
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in pod.container:
                self._await(component, pod.container[probe])

    def finish(self, component: str) -> str:
        """Run a Job's or a test's pod to its end and return what it wrote; fail where it fails."""
        pod = self.manifests.pod(component)
        said = ""
        for container in pod.containers:
            argv, environment = self.command(pod, container)
            done = subprocess.run(
                argv, env=environment, cwd=self.layout.root, capture_output=True, text=True, timeout=JOB_SECONDS
            )
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout
        return said

    def stop(self, component: str) -> None:
        """End a pod as Kubernetes does; fail where its grace was too short."""
        with_signal, _ = stopping(component)
        grace = float(self.manifests.pod(component).spec["terminationGracePeriodSeconds"])
        assert not process.stop(self.children[component], with_signal, grace), self.log(component)

    def ended(self, component: str) -> str:
        """Say how a pod's process ended."""
        return process.describe_end(self.layout.record(component))

    def asks(self, component: str, probe: str) -> bool:
        """Ask a probe once, as the kubelet does."""
        return self._answers(component, self.manifests.pod(component).container[probe])

    def log(self, component: str) -> str:
        """Return what a pod wrote."""
        return self.layout.log(component).read_text(errors="replace")

    def address(self, component: str, port: int = 9000) -> str:
        """Return where a port of a pod is."""
        return f"{HOST}:{self.port(component, port)}"

    def mounted(self, component: str, path: str) -> Path:
        """Return where a path of a pod is, with what is mounted there."""
        return self.layout.root / "pods" / component / path.lstrip("/")

    def _await(self, component: str, probe: Object) -> None:
        def answers() -> bool:
            assert self.children[component].alive, self.log(component)
            return self._answers(component, probe)

        wait_until(answers, READY_SECONDS)

    def _answers(self, component: str, probe: Object) -> bool:
        if "grpc" in probe:
            return self._serves(component, probe["grpc"])
        if "httpGet" in probe:
            named = {each["name"]: each["containerPort"] for each in self.manifests.pod(component).container["ports"]}
            address = self.address(component, named[probe["httpGet"]["port"]])
            try:
                with urlopen(f"http://{address}{probe['httpGet']['path']}", timeout=PROBE_SECONDS) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False
        program, *arguments = probe["exec"]["command"]
        port = str(self.port(component, BEHIND))
        asked = (str(self.cluster.binaries / program), *arguments, f"--port={port}")
        return subprocess.run(asked, env={}, capture_output=True, timeout=PROBE_SECONDS).returncode == 0

    def _serves(self, component: str, asked: Object) -> bool:
        """Ask in plain text, without a token or a certificate: a kubelet has none."""
        address = self.address(component, asked["port"])
        with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
            request = health_pb2.HealthCheckRequest(service=asked.get("service", ""))
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=PROBE_SECONDS)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def command(self, pod: Pod, container: Object) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return what runs a container here, with nothing in its environment but what the manifest states."""
        component = pod.component
        folders = {each["mountPath"]: self._mount(pod, each) for each in container.get("volumeMounts", [])}
        environment: dict[str, str] = {}
        for each in container.get("env", []):
            stated = self._here(component, str(each["value"]), folders) if "value" in each else self._named(pod, each)
            environment[each["name"]] = _VARIABLE.sub(lambda found: environment[found[1]], stated)
        program = Path(sys.executable).parent
        local = {"PATH": os.pathsep.join((str(program), os.defpath)), **environment}
        if component == "postgres":
            return self._postgres(container, folders), local
        if component == "nats":
            arguments = [self._here(component, each, folders) for each in container["args"]]
            return (str(nats.binary()), *arguments), local
        name, *arguments = container["command"]
        return (str(program / name), *(self._here(component, each, folders) for each in arguments)), local

    def _postgres(self, container: Object, folders: Mapping[str, Path]) -> tuple[str, ...]:
        """Return the server with the manifest's arguments, on what the image's entry would have made.

        Those about TLS are for who stands before it (``encrypted_postgres``).
        """
        stated = [self._here("postgres", each, folders) for each in container["args"]]
        arguments = [
            part
            for flag, option in zip(stated[::2], stated[1::2], strict=True)
            if not option.startswith("ssl")
            for part in (flag, option)
        ]
        own = {
            "listen_addresses": HOST,
            "port": str(self.port("postgres", BEHIND)),
            "unix_socket_directories": str(self.cluster.socket_directory),
            "hba_file": str(self.layout.postgres / "pg_hba.conf"),
        }
        options = [part for name, value in own.items() for part in ("-c", f"{name}={value}")]
        return (str(self.cluster.binaries / "postgres"), "-D", str(self.cluster.data), *arguments, *options)

    def _named(self, pod: Pod, each: Object) -> str:
        """Return the value of a variable that is kept elsewhere."""
        if "secretKeyRef" in each["valueFrom"]:
            named = each["valueFrom"]["secretKeyRef"]
            return self.secrets[named["name"]][named["key"]].decode()
        assert each["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        return f"{pod.owner['metadata']['name']}-0"

    def _mount(self, pod: Pod, mount: Object) -> Path:
        """Return the folder of a mount, with the files of its Secret or ConfigMap in it."""
        (volume,) = [each for each in pod.spec["volumes"] if each["name"] == mount["name"]] or [{"emptyDir": {}}]
        folder = self.mounted(pod.component, mount["mountPath"])
        folder.mkdir(parents=True, exist_ok=True)
        if "secret" in volume:
            self._fill(pod, folder, self.secrets[volume["secret"]["secretName"]], volume["secret"])
        if "configMap" in volume:
            self._fill(pod, folder, self._config_map(pod, volume["configMap"]["name"]), volume["configMap"])
        return folder

    def _config_map(self, pod: Pod, name: str) -> Mapping[str, bytes]:
        if name in self.config_maps:
            return self.config_maps[name]
        folders = {each["mountPath"]: self.mounted(pod.component, each["mountPath"]) for each in _mounts(pod)}
        data = self.manifests.named("ConfigMap", name)["data"]
        return {key: self._here(pod.component, text, folders).encode() for key, text in data.items()}

    def _fill(self, pod: Pod, folder: Path, contents: Mapping[str, bytes], volume: Object) -> None:
        items = volume.get("items", [{"key": key, "path": key} for key in contents])
        for item in items:
            path = folder / item["path"]
            path.write_bytes(contents[item["key"]])
            path.chmod(0o640)
            account = self.cluster.account
            if account is not None and pod.component == "postgres":
                os.chown(path, -1, account.gid)

    def _here(self, component: str, text: str, folders: Mapping[str, Path]) -> str:
        """Return a text of a manifest with addresses and paths as they are on this machine."""
        for service in self.manifests.of_kind("Service"):
            name, of = service["metadata"]["name"], service["spec"]["selector"]["app.kubernetes.io/component"]
            for port in service["spec"]["ports"]:
                number = self.port(of, port["port"])
                text = re.sub(rf"\b{name}:{port['port']}\b", f"{HOST}:{number}", text)
        text = _LISTENED.sub(lambda found: f"{HOST}:{self._own_port(component, int(found[1]))}", text)
        mounts = "|".join(re.escape(path) for path in sorted(folders, key=len, reverse=True))
        pattern = rf"(?<![\w/.-])(?:{mounts})(?=$|[/\"\s&])"
        return re.sub(pattern, lambda found: str(folders[found[0]]), text) if mounts else text

    def _own_port(self, component: str, port: int) -> int:
        """Return a port of the component; one that is of this machine already stays."""
        return port if port in self.ports.values() else self.port(component, port)

    def port(self, component: str, port: int) -> int:
        """Return the port of this machine that stands for a pod's."""
        return self.ports.setdefault((component, port), free_port())


def _mounts(pod: Pod) -> Sequence[Object]:
    mounts: Sequence[Object] = pod.container.get("volumeMounts", [])
    return mounts
