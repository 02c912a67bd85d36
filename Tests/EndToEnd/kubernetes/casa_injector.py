"""A `casa injector` as a real process, and reviews as an API server sends them."""

from __future__ import annotations

import base64
import copy
import json
import signal
import ssl
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from casa_runtime import binary, free_port, wait_until

Json = dict[str, Any]
NAME = "casa-injector.casa-system.svc"
IMAGE = "registry.example/casa:1"


def pod(**spec: Any) -> Json:
    """A Deployment's pod as the API server has it at admission, with what it fills in."""
    container = {
        "name": "app",
        "image": "registry.example/teller:1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        },
        "readinessProbe": {"grpc": {"port": 9000, "service": ""}, "timeoutSeconds": 2},
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
        ],
    }  # fmt: skip
    owner = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "teller-7d9c6b5f4", "uid": str(uuid.uuid4()),
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "teller-7d9c6b5f4-",
            "namespace": "bank",
            "labels": {"app": "teller", "pod-template-hash": "7d9c6b5f4"},
            "ownerReferences": [owner],
        },
        "spec": {
            "containers": [container],
            "initContainers": [{"name": "prepare", "image": "registry.example/prepare:1", "resources": {}}],
            "volumes": [{"name": "kube-api-access-x7k2p", "projected": {"sources": [], "defaultMode": 420}}],
            "securityContext": {"runAsUser": 1000},
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            **spec,
        },
    }


def review(made: Json | None, operation: str = "CREATE", **more: Any) -> Json:
    request = {
        "uid": str(uuid.uuid4()),
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "bank",
        "operation": operation,
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": []},
        "object": made,
        "oldObject": None,
        "dryRun": False,
        **more,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def patched(made: Json, response: Json) -> Json:
    """The object after the answer's JSON Patch (RFC 6902: add and replace)."""
    made = copy.deepcopy(made)
    for step in json.loads(base64.b64decode(response["patch"])) if "patch" in response else []:
        *way, last = [name.replace("~1", "/").replace("~0", "~") for name in step["path"].split("/")[1:]]
        place: Any = made
        for name in way:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if isinstance(place, dict):
            assert step["op"] == "add" or last in place
            place[last] = step["value"]
        elif step["op"] == "add":
            place.insert(len(place) if last == "-" else int(last), step["value"])
        else:
            place[int(last)] = step["value"]
    return made


@dataclass
class Injector:
    """One process with a folder of certificates."""

    directory: Path
    arguments: tuple[str, ...] = ("--image", IMAGE)
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def certificate(self, directory: Path | None = None, *names: str) -> Path:
        """Makes an authority and a certificate, or a further one of the authority that is there."""
        folder = directory or self.directory / "tls"
        asked = [part for name in names or (NAME, "localhost") for part in ("--name", name)]
        command = [str(binary()), "injector", "certificate", "--directory", str(folder), *asked]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return folder

    def start(self) -> Injector:
        folder = self.certificate()
        command = [
            str(binary()), "injector", "--listen", f"127.0.0.1:{self.port}", "--metrics", f"127.0.0.1:{self.metrics_port}",
            "--certificate", str(folder / "tls.crt"), "--key", str(folder / "tls.key"), *self.arguments,
        ]  # fmt: skip
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

        def is_ready() -> bool:
            assert self.process and self.process.poll() is None, self.log
            try:
                return httpx.get(f"http://127.0.0.1:{self.metrics_port}/readyz", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(is_ready, "the injector is ready", 20)
        return self

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()

    def context(self) -> ssl.SSLContext:
        """Trust in this injector's authorities alone."""
        return ssl.create_default_context(cafile=str(self.directory / "tls/ca.crt"))

    def client(self) -> httpx.Client:
        """As the API server calls: by the Service's name."""
        base = f"https://localhost:{self.port}"
        return httpx.Client(base_url=base, verify=self.context(), trust_env=False, timeout=20)

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", trust_env=False).text


def answer(client: httpx.Client, path: str, asked: Json) -> Json:
    """What a webhook answers to one review."""
    got = client.post(path, json=asked)
    assert got.status_code == 200, got.text
    body: Json = got.json()
    assert body["apiVersion"] == "admission.k8s.io/v1" and body["kind"] == "AdmissionReview"
    response: Json = body["response"]
    assert response["uid"] == asked["request"]["uid"]
    return response
