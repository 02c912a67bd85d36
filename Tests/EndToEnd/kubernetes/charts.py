"""The charts as Helm renders them. The Helm is a real one, within the package helm-python-sdk; no cluster is needed."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate.utils
import yaml
from helm_python import _native
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[3]
CHARTS = ROOT / "deploy" / "charts"
RUNTIME = CHARTS / "casa-runtime"
DEMO = CHARTS / "casa-demo"
GOLDEN = Path(__file__).parent / "golden"
VERSIONS = [f"1.{minor}" for minor in range(28, 36)]

Manifest = dict[str, Any]
Values = dict[str, Any]

CUSTOM_KINDS = {"MultiAgentSystem", "CASAPolicy", "CiliumNetworkPolicy", "ServiceMonitor", "PodMonitor"}
"""Kinds that Kubernetes itself does not know."""


def render(
    chart: Path,
    values: Values | None = None,
    *,
    version: str = "1.35",
    namespace: str = "casa-system",
    release: str = "casa",
    config: helm_python.Config | None = None,
) -> dict[str, str]:
    """The text of each template. `config` is a cluster for the template function `lookup`."""
    options: dict[str, Any] = {"name": release, "namespace": namespace}
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values or {})
        if config:
            answer = _native.call_string(
                "helm_render_with_config",
                config._raw(),
                loaded._raw(),
                json.dumps(values or {}),
                json.dumps(options),
            )
        else:
            options["kube_version"] = f"v{version}.0"
            answer = _native.call_string(
                "helm_render", loaded._raw(), json.dumps(values or {}), json.dumps(options)
            )
    return json.loads(answer)


def manifests(chart: Path, values: Values | None = None, **options: Any) -> list[Manifest]:
    """The objects of a chart, in one order."""
    if "config" in options:
        return _objects(render(chart, values, **options))
    return json.loads(_rendered(chart, json.dumps(values or {}, sort_keys=True), tuple(sorted(options.items()))))


@functools.cache
def _rendered(chart: Path, values: str, options: tuple[tuple[str, Any], ...]) -> str:
    return json.dumps(_objects(render(chart, json.loads(values), **dict(options))))


def _objects(templates: dict[str, str]) -> list[Manifest]:
    # libyaml's reader is ten times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    objects = [
        document
        for name, text in templates.items()
        if name.endswith(".yaml")
        for document in yaml.load_all(text, Loader=loader)
        if document
    ]
    return sorted(objects, key=identity)


def identity(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    found = [made for made in objects if made["kind"] == kind and made["metadata"]["name"] == name]
    assert len(found) == 1, f"expected one {kind} {name}, got {len(found)}"
    return found[0]


def named(objects: list[Manifest], kind: str) -> set[str]:
    return {made["metadata"]["name"] for made in objects if made["kind"] == kind}


def with_secrets_masked(objects: list[Manifest]) -> list[Manifest]:
    """Random secrets, which differ each time, as what they are."""
    masked = json.loads(json.dumps(objects))
    for made in masked:
        if made["kind"] != "Secret":
            continue
        for key, value in made["data"].items():
            text = base64.b64decode(value).decode()
            text = re.sub(r"^cs_[A-Za-z0-9]{43}$", "CREDENTIAL", text)
            text = re.sub(r"^[A-Za-z0-9]{40}$", "PASSWORD", text)
            made["data"][key] = re.sub(r"//casa:[A-Za-z0-9]{40}@", "//casa:PASSWORD@", text)
    return masked


def pod_specs(objects: list[Manifest]) -> Iterator[tuple[str, Manifest, dict[str, Any]]]:
    """Name, pod template and pod spec of each workload."""
    for made in objects:
        template = made.get("spec", {}).get("template") if isinstance(made.get("spec"), dict) else None
        if template:
            yield made["metadata"]["name"], template, template["spec"]


# --- Kubernetes' own schemas ---------------------------------------------------------------------


@functools.cache
def _contents(name: str, version: str) -> Any:
    return kubernetes_validate.utils.schema_contents(name, version)


@functools.cache
def _validator(version: str, kind: str, api_version: str) -> jsonschema.Draft202012Validator:
    """The package's schemas for one kind; read once, since it reads megabytes each time."""
    (release,) = {
        known for known in kubernetes_validate.utils.all_versions() if known.startswith(f"{version}.")
    }
    folder = f"kubernetes-json-schema/v{release}-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = _contents(f"{folder}/{kind.lower()}-{group}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=_registry(folder, version, json.dumps(schema)))


@functools.cache
def _definitions(folder: str, version: str) -> Registry:
    return Resource.from_contents(_contents(f"{folder}/_definitions.json", version)) @ Registry()


def _registry(folder: str, version: str, schema: str) -> Registry:
    return Resource.from_contents(json.loads(schema)) @ _definitions(folder, version)


@functools.cache
def _problems(version: str, kind: str, api_version: str, text: str) -> tuple[str, ...]:
    found = _validator(version, kind, api_version).iter_errors(json.loads(text))
    return tuple(
        f"{kind} at {'.'.join(str(step) for step in error.absolute_path)}: {error.message}" for error in found
    )


def kubernetes_problems(made: Manifest, version: str) -> tuple[str, ...]:
    """What Kubernetes of that version has against an object; unknown fields count."""
    if made["kind"] in CUSTOM_KINDS:
        return ()
    return _problems(version, made["kind"], made["apiVersion"], json.dumps(made, sort_keys=True))


# --- a cluster for `lookup` ----------------------------------------------------------------------


@contextmanager
def cluster(secrets: list[Manifest]) -> Iterator[helm_python.Config]:
    """A stand-in for an API server that has these Secrets and nothing else."""
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {
            "kind": "APIResourceList",
            "groupVersion": "v1",
            "resources": [
                {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get"]}
            ],
        },
    }
    for secret in secrets:
        _, namespace, name = identity(secret)
        answers[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = secret
    missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = json.dumps(answers.get(path, missing)).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "nobody"}}],
        "current-context": "stand-in",
    }
    try:
        with helm_python.Config(kubeconfig_content=json.dumps(kubeconfig), namespace="casa-system") as config:
            yield config
    finally:
        server.shutdown()
        server.server_close()
