"""The fake API server itself: what the tests of the controller rest on, asked by HTTP and by the real kubectl."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from fake_api import FakeAPI, Refused

CORE = "/api/v1/namespaces/default"
CASA = "/apis/casa.io/v1alpha1/namespaces/default"
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.org"},
    "spec": {
        "group": "example.org", "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wi"]},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                "spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                    "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                              "items": {"type": "object", "required": ["name"], "properties": {
                                  "name": {"type": "string"}, "count": {"type": "integer", "default": 1}}}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                }},
                "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
            }}},
        }],
    },
}  # fmt: skip
WIDGETS = "/apis/example.org/v1/namespaces/default/widgets"


class Client:
    def __init__(self, api: FakeAPI):
        self.api, self.session = api, requests.Session()

    def __call__(self, method: str, path: str, body: Any = None, **rest: Any) -> Any:
        data = json.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/json", **rest.pop("headers", {})}
        answer = self.session.request(method, self.api.url + path, data=data, headers=headers, timeout=30, **rest)
        return answer.status_code, answer.json()

    def ok(self, method: str, path: str, body: Any = None, **rest: Any) -> Any:
        code, content = self(method, path, body, **rest)
        assert code in (200, 201), content
        return content

    def apply(self, path: str, body: Any, manager: str = "m", **query: str) -> Any:
        return self("PATCH", path, body, params={"fieldManager": manager, **query}, headers=APPLY)


@pytest.fixture
def client(api: FakeAPI) -> Client:
    return Client(api)


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def widget(name: str, **spec: Any) -> dict:
    return {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(("method", "path", "body", "headers", "expected"), [
    ("GET", "/api/v1/nothing", None, {}, 404), ("GET", f"{CORE}/configmaps/a/status", None, {}, 404),
    ("GET", f"{CORE}/configmaps?unknown=1", None, {}, 400), ("GET", f"{CORE}/configmaps?limit=x", None, {}, 400),
    ("GET", f"{CORE}/configmaps?fieldSelector=data.x=1", None, {}, 400),
    ("POST", f"{CORE}/configmaps", config_map("a"), {"Content-Type": "text/plain"}, 415),
    ("POST", f"{CORE}/configmaps", {"metadata": {"name": "a"}}, {}, 400),
    ("POST", f"{CORE}/configmaps", config_map(""), {}, 422), ("POST", f"{CORE}/configmaps", config_map("A"), {}, 422),
    ("POST", "/api/v1/namespaces/missing/configmaps", config_map("a"), {}, 404),
    ("POST", f"{CORE}/configmaps", {**config_map("a"), "data": {"x": 1}}, {}, 400),
    ("POST", f"{CORE}/secrets",
     {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"x": "?"}}, {}, 400),
    ("PATCH", f"{CORE}/configmaps/there", {}, {}, 415), ("PATCH", f"{CORE}/configmaps/gone", {}, MERGE, 404),
    ("PUT", f"{CORE}/configmaps/there", config_map("other"), {}, 400),
    ("DELETE", f"{CORE}/configmaps/there", {"kind": "DeleteOptions", "unknown": 1}, {}, 400),
    ("PUT", f"{CORE}/configmaps", config_map("a"), {}, 405), ("GET", "/apis/none.io/v1/things", None, {}, 404),
    ("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases",
     {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
      "spec": {"renewTime": "2026-01-01T00:00:00Z"}}, {}, 400),
])  # fmt: skip
def test_what_is_wrong_is_refused(
    client: Client, method: str, path: str, body: Any, headers: dict, expected: int
) -> None:
    client.ok("POST", f"{CORE}/configmaps", config_map("there"))
    code, status = client(method, path, body, headers=headers)
    assert (code, status["kind"], status["code"]) == (expected, "Status", expected), status


def test_versions_guard_against_lost_changes(client: Client) -> None:
    first = client.ok("POST", f"{CORE}/configmaps", config_map("a", x="1"))
    client.ok("PUT", f"{CORE}/configmaps/a", {**first, "data": {"x": "2"}})
    assert client("PUT", f"{CORE}/configmaps/a", {**first, "data": {"x": "3"}})[0] == 409
    wanted = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"x": "4"}}
    assert client("PATCH", f"{CORE}/configmaps/a", wanted, headers=MERGE)[0] == 409
    assert client.ok("GET", f"{CORE}/configmaps/a")["data"] == {"x": "2"}


def test_apply_knows_whose_fields_are_whose(client: Client) -> None:
    path = f"{CORE}/configmaps/a"
    assert client.apply(path, config_map("a", x="1", y="1"), "one")[0] == 201
    code, status = client.apply(path, config_map("a", x="2"), "two")
    assert code == 409 and '"one": .data.x' in status["message"]
    # The same value is shared, and stays when one of the two lets go of it.
    assert client.apply(path, config_map("a", x="1"), "two")[0] == 200
    assert client.apply(path, config_map("a", y="1"), "one")[1]["data"] == {"x": "1", "y": "1"}
    assert client.apply(path, config_map("a", y="2"), "two", force="true")[1]["data"] == {"y": "2"}
    managers = {entry["manager"]: entry["fieldsV1"] for entry in client.ok("GET", path)["metadata"]["managedFields"]}
    assert managers == {"two": {"f:data": {"f:y": {}}}}
    version = client.ok("GET", path)["metadata"]["resourceVersion"]
    assert client.apply(path, config_map("a", y="2"), "two")[1]["metadata"]["resourceVersion"] == version
    # What somebody updates is theirs, and what they remove nobody's.
    client.ok("PATCH", path, {"data": {"y": "3", "z": "1"}}, headers=MERGE, params={"fieldManager": "three"})
    assert client.apply(path, config_map("a", y="2"), "two")[0] == 409
    assert client("PATCH", path, config_map("a"), headers=APPLY)[0] == 422


def test_apply_merges_lists_by_their_keys(client: Client) -> None:
    def deployment(*containers: dict) -> dict:
        return {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": list(containers)}}},
        }  # fmt: skip

    path = "/apis/apps/v1/namespaces/default/deployments/d"
    assert client.apply(path, deployment({"name": "x", "image": "1"}), "one")[0] == 201
    env = [{"name": "e", "value": "v"}]
    code, both = client.apply(path, deployment({"name": "y", "image": "2", "env": env}), "two")
    assert code == 200, both
    assert [container["name"] for container in both["spec"]["template"]["spec"]["containers"]] == ["x", "y"]
    assert both["metadata"]["generation"] == 2
    code, left = client.apply(path, deployment({"name": "y", "image": "2"}), "two")
    assert code == 200, left
    assert left["spec"]["template"]["spec"]["containers"][1] == {"name": "y", "image": "2"}
    code, left = client.apply(path, deployment({"name": "z", "image": "3"}), "one")
    assert code == 200, left
    assert [container["name"] for container in left["spec"]["template"]["spec"]["containers"]] == ["y", "z"]


def test_a_crd_brings_defaults_and_refuses_what_does_not_fit(client: Client) -> None:
    assert client("GET", WIDGETS)[0] == 404
    client.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    body = widget("w", size=1, unknown=1, parts=[{"name": "a"}], free={"x": 1})
    made = client.ok("POST", WIDGETS, {**body, "status": {"phase": "x"}})
    assert made["spec"] == {"size": 1, "color": "red", "parts": [{"name": "a", "count": 1}], "free": {"x": 1}}
    assert "status" not in made
    for spec in ({}, {"size": 0}, {"size": "1"}, {"size": 1, "color": "green"}, {"size": 1, "parts": [{}]}):
        assert client("POST", WIDGETS, widget("x", **spec))[0] == 422, spec
    assert client("POST", WIDGETS, widget("x", size=1, unknown=1), params={"fieldValidation": "Strict"})[0] == 400
    assert client.apply(f"{WIDGETS}/y", widget("y", size=1, unknown=1))[0] == 500
    assert client.apply(f"{WIDGETS}/w", widget("w", parts=[{"name": "b"}]), "two")[1]["spec"]["parts"] == [
        {"name": "a", "count": 1}, {"name": "b", "count": 1}]
    body = {key: value for key, value in client.ok("GET", f"{WIDGETS}/w").items()}
    del body["metadata"]["resourceVersion"]
    assert client("PUT", f"{WIDGETS}/w", body)[0] == 422  # must be specified for an update
    client.ok("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.org")
    assert client("GET", WIDGETS)[0] == 404


def test_a_schema_that_is_not_structural_is_refused(api: FakeAPI) -> None:
    crd = json.loads(json.dumps(CRD))
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["type"]
    with pytest.raises(Refused, match="type: Required value"):
        api.create("customresourcedefinitions", crd)


def test_status_and_spec_are_apart_and_generations_count_specs(client: Client) -> None:
    mas = {"apiVersion": "casa.io/v1alpha1", "kind": "MultiAgentSystem", "metadata": {"name": "m"},
           "spec": {"name": "m"}}  # fmt: skip
    client.ok("POST", f"{CASA}/multiagentsystems", mas)
    path = f"{CASA}/multiagentsystems/m"
    after = client.ok("PATCH", f"{path}/status", {"status": {"phase": "Active"}, "spec": {"name": "no"},
                                                   "metadata": {"labels": {"no": "no"}}}, headers=MERGE)  # fmt: skip
    assert (after["spec"], after["status"], after["metadata"]["generation"]) == ({"name": "m"}, {"phase": "Active"}, 1)
    assert "labels" not in after["metadata"]
    after = client.ok("PATCH", path, {"metadata": {"labels": {"l": "v"}}}, headers=MERGE)
    assert after["metadata"]["generation"] == 1
    after = client.ok("PATCH", path, {"spec": {"name": "n"}}, headers=MERGE)
    assert after["metadata"]["generation"] == 2


def test_finalizers_hold_an_object_until_they_are_gone(client: Client) -> None:
    made = client.ok("POST", f"{CORE}/configmaps", {
        **config_map("a"), "metadata": {"name": "a", "finalizers": ["casa.io/wait"]}})  # fmt: skip
    held = client.ok("DELETE", f"{CORE}/configmaps/a")
    assert held["metadata"]["deletionTimestamp"]
    assert client("POST", f"{CORE}/configmaps", config_map("a"))[0] == 409
    more = {"metadata": {"finalizers": ["casa.io/wait", "casa.io/more"]}}
    assert client("PATCH", f"{CORE}/configmaps/a", more, headers=MERGE)[0] == 422
    client.ok("PATCH", f"{CORE}/configmaps/a", {"metadata": {"finalizers": None}}, headers=MERGE)
    assert client("GET", f"{CORE}/configmaps/a")[0] == 404
    assert made["metadata"]["uid"] == held["metadata"]["uid"]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_an_object_owns_goes_with_it(client: Client) -> None:
    owner = client.ok("POST", f"{CORE}/configmaps", config_map("owner"))

    def owned(name: str, uid: str) -> dict:
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}
        return {**config_map(name), "metadata": {"name": name, "ownerReferences": [reference]}}

    client.ok("POST", f"{CORE}/configmaps", owned("a", owner["metadata"]["uid"]))
    client.ok("POST", f"{CORE}/configmaps", owned("b", "nobodys"))
    until(lambda: client("GET", f"{CORE}/configmaps/b")[0] == 404)
    client.ok("DELETE", f"{CORE}/configmaps/owner", {"kind": "DeleteOptions", "propagationPolicy": "Background"})
    until(lambda: client("GET", f"{CORE}/configmaps/a")[0] == 404)


def test_a_namespace_goes_with_all_that_is_in_it(client: Client) -> None:
    client.ok("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    client.ok("POST", "/api/v1/namespaces/n/configmaps", config_map("a"))
    client.ok("DELETE", "/api/v1/namespaces/n")
    assert client("POST", "/api/v1/namespaces/n/configmaps", config_map("b"))[0] == 403
    until(lambda: client("GET", "/api/v1/namespaces/n")[0] == 404)
    assert client("GET", "/api/v1/namespaces/n/configmaps/a")[0] == 404


# kubectl


@pytest.fixture
def kubectl(api: FakeAPI, tmp_path: pathlib.Path) -> Callable[..., str]:
    binary = shutil.which("kubectl")
    if binary is None:
        pytest.skip("KUBECTL IS NOT INSTALLED: nobody but our own client asks the fake API server here")
    path = api.kubeconfig(tmp_path / "kubeconfig")
    home = tmp_path / "home"
    home.mkdir()

    def run(*arguments: str, stdin: Any = None, fails: bool = False) -> str:
        done = subprocess.run(
            [binary, "--kubeconfig", str(path), *arguments], input=json.dumps(stdin) if stdin else None, text=True,
            capture_output=True, timeout=60, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_kubectl_works_with_it(api: FakeAPI, kubectl: Callable[..., str]) -> None:
    api.create("customresourcedefinitions", CRD)
    assert "created" in kubectl("apply", "-f", "-", "--validate=false", stdin=widget("w", size=1))
    assert "configured" in kubectl("apply", "-f", "-", "--validate=false", stdin=widget("w", size=2))
    assert "serverside-applied" in kubectl(
        "apply", "-f", "-", "--server-side", "--force-conflicts", "--validate=false",
        stdin=widget("w", size=3))  # fmt: skip
    assert json.loads(kubectl("get", "wi", "w", "-o", "json"))["spec"]["size"] == 3
    assert "w" in kubectl("get", "widgets")
    assert "Size:" in kubectl("describe", "widget", "w")
    assert "invalid" in kubectl("apply", "-f", "-", "--validate=false", stdin=widget("v", size=0), fails=True)
    kubectl("apply", "-f", "-", "--validate=false", stdin={
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}})  # fmt: skip
    assert "a: Yg==" in kubectl("get", "secret", "s", "-o", "yaml")
    kubectl("apply", "-f", "-", "--validate=false", stdin={
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})  # fmt: skip
    kubectl("label", "namespace", "n", "casa.io/injection=enabled")
    assert api.get("namespaces", "n")["metadata"]["labels"]["casa.io/injection"] == "enabled"
    kubectl("delete", "widget", "w", "--timeout=20s")
    assert api.get("widgets", "w", "default") is None
