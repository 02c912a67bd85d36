"""The custom resource definitions: what the API server demands of them, and what they take and refuse.

The schema is asked with jsonschema. The CEL rules are evaluated where the Python package
common-expression-language is installed; that they are there, and bounded, is tested in any case.
"""

from __future__ import annotations

import copy
import importlib.util
import re
from typing import Any

import pytest
from charts import DEMO, ROOT, kubernetes_problems, manifests
from custom_resources import (
    DEFINITIONS,
    EXAMPLES,
    PLURALS,
    Schema,
    broken_rules,
    definition,
    nodes,
    problems,
    read,
    schema_of,
)

Object = dict[str, Any]

both = pytest.mark.parametrize("plural", PLURALS.values())
has_cel = importlib.util.find_spec("cel") is not None
with_cel = pytest.mark.skipif(not has_cel, reason="the package common-expression-language is not installed")


def refusals(resource: Object, old: Object | None = None) -> list[str]:
    """All that an API server would say against an object; of the CEL rules only where they can be evaluated."""
    # The API server asks the rules only when the schema has nothing against the object.
    return problems(resource) or (broken_rules(resource, old) if has_cel else [])


# --- what the API server demands -----------------------------------------------------------------


@both
class TestDefinition:
    def test_is_of_the_group_and_version_that_all_share(self, plural: str) -> None:
        made = definition(plural)
        kind = {value: key for key, value in PLURALS.items()}[plural]
        names = made["spec"]["names"]
        assert (made["apiVersion"], made["metadata"]["name"]) == ("apiextensions.k8s.io/v1", f"{plural}.casa.io")
        assert (names["kind"], names["plural"], names["listKind"]) == (kind, plural, f"{kind}List")
        assert names["shortNames"] == {"multiagentsystems": ["mas"], "casapolicies": ["casap"]}[plural]
        assert names["categories"] == ["casa"] and made["spec"]["scope"] == "Namespaced"
        (version,) = made["spec"]["versions"]
        assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
        assert version["subresources"] == {"status": {}}

    @pytest.mark.parametrize("version", ["1.28", "1.35"])
    def test_is_taken_by_kubernetes(self, plural: str, version: str) -> None:
        assert kubernetes_problems(definition(plural), version) == ()

    def test_is_structural(self, plural: str) -> None:
        """Every value has a type, nothing is said within allOf and the like, and no keyword is unknown."""
        known = {
            "additionalProperties",
            "description",
            "enum",
            "exclusiveMinimum",
            "format",
            "items",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minItems",
            "minLength",
            "minimum",
            "nullable",
            "pattern",
            "properties",
            "required",
            "type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-validations",
        }
        for path, schema in nodes(schema_of(plural)):
            assert schema["type"] in ("object", "array", "string", "integer", "number", "boolean"), path
            assert set(schema) <= known, f"{path}: {set(schema) - known}"
            assert not ("properties" in schema and "additionalProperties" in schema), path
            if schema["type"] == "array":
                assert "items" in schema, path
            if schema["type"] == "object" and path != ".metadata":
                assert "properties" in schema or "additionalProperties" in schema, path
            assert set(schema.get("required", [])) <= set(schema.get("properties", {})), path

    def test_explains_every_field(self, plural: str) -> None:
        for path, schema in nodes(schema_of(plural)):
            assert path == ".metadata" or len(schema.get("description", "")) > 2, f"kubectl explain has nothing on {path}"

    def test_bounds_everything_so_that_rules_have_a_price(self, plural: str) -> None:
        for path, schema in nodes(schema_of(plural)):
            if path in (".apiVersion", ".kind"):
                continue
            if schema["type"] == "array":
                assert schema["maxItems"] <= 1000, path
            if schema["type"] == "string":
                assert {"maxLength", "enum", "format"} & set(schema), path
            if "additionalProperties" in schema:
                assert schema["maxProperties"], path

    def test_shows_columns_that_there_are(self, plural: str) -> None:
        columns = {column["name"]: column for column in definition(plural)["spec"]["versions"][0]["additionalPrinterColumns"]}
        assert {"Phase", "Ready", "Age"} <= set(columns)
        paths = {path for path, _ in nodes(schema_of(plural))} | {".metadata.creationTimestamp"}
        for column in columns.values():
            path = re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[]", column["jsonPath"])
            assert path in paths, column["jsonPath"]

    def test_has_status_in_the_form_of_kubernetes(self, plural: str) -> None:
        status = schema_of(plural)["properties"]["status"]["properties"]
        assert status["phase"]["enum"] == ["Pending", "Active", "Failed"]
        assert status["observedGeneration"]["format"] == "int64"
        assert status["lastSyncTime"]["format"] == "date-time"
        assert status["conditions"]["x-kubernetes-list-type"] == "map"
        assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
        assert set(status["conditions"]["items"]["required"]) == {
            "type",
            "status",
            "lastTransitionTime",
            "reason",
            "message",
        }
        assert ("appsReady" in status) == (plural == "multiagentsystems")

    def test_has_patterns_that_go_can_read(self, plural: str) -> None:
        """RE2 knows neither lookahead nor back references."""
        for path, schema in nodes(schema_of(plural)):
            assert not re.search(r"\(\?[=!<]|\\[1-9]", schema.get("pattern", "")), path
            re.compile(schema.get("pattern", ""))


def rules(plural: str) -> dict[str, Schema]:
    return {
        rule["rule"]: rule for _, schema in nodes(schema_of(plural)) for rule in schema.get("x-kubernetes-validations", [])
    }


@both
def test_rules_say_what_is_wrong(plural: str) -> None:
    for rule in rules(plural).values():
        assert len(rule["message"]) > 20 and "\n" not in rule["message"]


@both
def test_rules_are_there(plural: str) -> None:
    messages = " ".join(rule["message"] for rule in rules(plural).values())
    expected = {
        "multiagentsystems": [
            "name can't be changed",
            "calls may name",
            "need baseUrl",
            "can't call itself",
            "the LLM's name",
            "workload of its own",
            "llm_host",
        ],
        "casapolicies": ["targetRef can't be changed", "wildcard", "an IP address"],
    }
    for text in expected[plural]:
        assert text in messages


# --- what they take ------------------------------------------------------------------------------

EXAMPLE_OBJECTS = [
    pytest.param(resource, id=f"{path.stem}-{resource['metadata']['name']}")
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for resource in read(path)
]


@pytest.mark.parametrize("resource", EXAMPLE_OBJECTS)
def test_examples_are_taken(resource: Object) -> None:
    assert refusals(resource) == []


def test_the_demo_charts_objects_are_taken() -> None:
    for values in ({}, {"llm": {"standIn": {"enabled": False}, "host": "api.openai.com"}}):
        for made in manifests(DEMO, values):
            if made["kind"] in PLURALS:
                assert refusals(made) == []


def test_original_manifests_use_original_fields_only() -> None:
    original = {
        "MultiAgentSystem": {
            "name",
            "enabledToolChecks",
            "llm_host",
            "apps",
            "type",
            "baseUrl",
            "scheme",
            "host",
            "kubernetesWorkloadName",
            "httpRequestSchema",
            "promptFieldJsonPath",
        },
        "CASAPolicy": {
            "targetRef",
            "kind",
            "name",
            "allowedProtocols",
            "allowedEndpoints",
            "namespace",
            "port",
            "llmEndpoint",
            "fqdn",
        },
    }

    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(keys(child) for child in value.values()))
        return set().union(*(keys(child) for child in value)) if isinstance(value, list) else set()

    seen: dict[str, set[str]] = {}
    for path in EXAMPLES.glob("original-*.yaml"):
        for resource in read(path):
            seen.setdefault(resource["kind"], set()).update(keys(resource["spec"]))
    assert seen == original


def test_the_full_example_uses_every_field() -> None:
    """So nobody has to guess how a field is written."""

    def used(schema: Schema, value: Any, path: str) -> set[str]:
        found = {path}
        for name, child in schema.get("properties", {}).items():
            if isinstance(value, dict) and name in value:
                found |= used(child, value[name], f"{path}.{name}")
        for element in value if isinstance(value, list) else []:
            found |= used(schema["items"], element, f"{path}[]")
        return found

    for kind, file in (("MultiAgentSystem", "every-field-mas.yaml"), ("CASAPolicy", "every-field-policies.yaml")):
        spec = schema_of(PLURALS[kind])["properties"]["spec"]
        shown = set().union(*(used(spec, resource["spec"], "") for resource in read(EXAMPLES / file)))
        every = {path for path, _ in nodes(spec) if not path.endswith(("[]", "{}")) and ".calibration" not in path}
        every -= {path for path in every if "{}" in path}
        assert every - shown <= {".apps[].httpRequestSchema", ".apps[].httpRequestSchema.promptFieldJsonPath"}


# --- what they refuse ----------------------------------------------------------------------------


def changed(kind: str, path: str, value: Any) -> Object:
    """The full example with one field changed; `...` removes it. A path is `apps.1.baseUrl.host`."""
    file, index = {"MultiAgentSystem": ("every-field-mas.yaml", 0), "CASAPolicy": ("every-field-policies.yaml", 1)}[kind]
    resource = copy.deepcopy(read(EXAMPLES / file)[index])
    target: Any = resource["spec"]
    *parents, last = path.split(".")
    for step in parents:
        target = target[int(step)] if isinstance(target, list) else target.setdefault(step, {})
    key: Any = int(last) if isinstance(target, list) else last
    if value is ...:
        del target[key]
    else:
        target[key] = value
    return resource


LONG = "a" * 64
BY_SCHEMA = [
    ("MultiAgentSystem", "name", ...),
    ("MultiAgentSystem", "name", ""),
    ("MultiAgentSystem", "name", "---"),
    ("MultiAgentSystem", "enabledToolChecks", ["ALL"]),
    ("MultiAgentSystem", "allowUndecided", "yes"),
    ("MultiAgentSystem", "llm_host", "https://api.openai.com"),
    ("MultiAgentSystem", "llm_host", "*.openai.com"),
    ("MultiAgentSystem", "llm_host", "api.openai.com/v1"),
    ("MultiAgentSystem", "llm.scheme", "ftp"),
    ("MultiAgentSystem", "llm.basePath", "v1"),
    ("MultiAgentSystem", "llm.basePath", "/v1//x"),
    ("MultiAgentSystem", "llm.basePath", "/v1?x=1"),
    ("MultiAgentSystem", "llm.basePath", "/v1%2e"),
    ("MultiAgentSystem", "llm.basePath", "/v 1"),
    ("MultiAgentSystem", "llm.apiKeySecret.key", "a/b"),
    ("MultiAgentSystem", "llm.apiKeySecret.name", ...),
    ("MultiAgentSystem", "intent.strategy", "guess"),
    ("MultiAgentSystem", "intent.maximum_near_misses", 0),
    ("MultiAgentSystem", "intent.maximum_near_misses", 1001),
    ("MultiAgentSystem", "intent.grounded_values", ["x"] * 1001),
    ("MultiAgentSystem", "intent.grounded_values", [""]),
    ("MultiAgentSystem", "intent.grounded_values", ["x" * 1025]),
    ("MultiAgentSystem", "intent.tool_effects", {"transfer_money": []}),
    ("MultiAgentSystem", "intent.tool_effects", {"transfer_money": ["steals"]}),
    ("MultiAgentSystem", "intent.calibration", {"model": "m"}),
    ("MultiAgentSystem", "intent.unknown", True),
    ("MultiAgentSystem", "apps.0.name", "Client"),
    ("MultiAgentSystem", "apps.0.name", LONG),
    ("MultiAgentSystem", "apps.0.name", "agent"),
    ("MultiAgentSystem", "apps.0.type", "user"),
    ("MultiAgentSystem", "apps.0.typ", "client"),
    ("MultiAgentSystem", "apps.1.containerPort", 0),
    ("MultiAgentSystem", "apps.1.containerPort", 65536),
    ("MultiAgentSystem", "apps.1.containerPort", "8100"),
    ("MultiAgentSystem", "apps.1.baseUrl.host", "10.0.0.1:80"),
    ("MultiAgentSystem", "apps.1.baseUrl.host", "agent.banking.example.com"),
    ("MultiAgentSystem", "apps.1.baseUrl.host", "http://agent"),
    ("MultiAgentSystem", "apps.1.baseUrl.host", "agent:http"),
    ("MultiAgentSystem", "apps.1.baseUrl.host", ...),
    ("MultiAgentSystem", "apps.1.baseUrl.scheme", "ws"),
    ("MultiAgentSystem", "apps.1.baseUrl.path", "mcp"),
    ("MultiAgentSystem", "apps.1.kubernetesWorkloadName", "Agent"),
    ("MultiAgentSystem", "apps.1.kubernetesWorkloadName", "a" * 240),
    ("MultiAgentSystem", "apps.1.httpRequestSchema", {"promptFieldJsonPath": "prompt"}),
    ("MultiAgentSystem", "apps.1.httpRequestSchema", {"promptFieldJsonPath": "$..prompt"}),
    ("MultiAgentSystem", "apps.2.allowedMethods", ["tools/call"]),
    ("MultiAgentSystem", "apps.2.calls", ["Agent"]),
    ("CASAPolicy", "targetRef", ...),
    ("CASAPolicy", "targetRef.kind", "DaemonSet"),
    ("CASAPolicy", "targetRef.name", "Agent"),
    ("CASAPolicy", "targetRef.namespace", "other"),
    ("CASAPolicy", "allowedProtocols", ["grpc"]),
    ("CASAPolicy", "allowedEndpoints.0.name", "bank.banking"),
    ("CASAPolicy", "allowedEndpoints.0.name", "*"),
    ("CASAPolicy", "allowedEndpoints.0.namespace", "*"),
    ("CASAPolicy", "allowedEndpoints.0.port", ...),
    ("CASAPolicy", "allowedEndpoints.0.port", 0),
    ("CASAPolicy", "allowedEndpoints", [{"name": "bank", "port": 1}] * 65),
    ("CASAPolicy", "llmEndpoint.fqdn", ""),
    ("CASAPolicy", "llmEndpoint.fqdns", ["a.example.com"]),
    ("CASAPolicy", "llmEndpoint.port", 70000),
    ("CASAPolicy", "dns.allowedNames", ["*"]),
    ("CASAPolicy", "dns.allowedNames", ["*.*.example.com"]),
    ("CASAPolicy", "dns.allowedNames", ["localhost"]),
]


@pytest.mark.parametrize(("kind", "path", "value"), BY_SCHEMA, ids=lambda value: str(value)[:40])
def test_the_schema_refuses(kind: str, path: str, value: Any) -> None:
    assert problems(changed(kind, path, value))


BY_RULE = [
    ("MultiAgentSystem", "llm_host", ..., "llm says how"),
    ("MultiAgentSystem", "llm_host", "llm.example.com:0", "1 to 65535"),
    ("MultiAgentSystem", "llm_host", "llm.example.com:65536", "1 to 65535"),
    ("MultiAgentSystem", "llm.basePath", "/v1/../admin", ". or .."),
    ("MultiAgentSystem", "llm.basePath", "/./v1", ". or .."),
    ("MultiAgentSystem", "intent.tool_effects", {"x" * 129: ["reads"]}, "1 to 128"),
    ("MultiAgentSystem", "apps.1.baseUrl", ..., "need baseUrl"),
    ("MultiAgentSystem", "apps.2.baseUrl", ..., "need baseUrl"),
    ("MultiAgentSystem", "apps.0.name", "llm", "the LLM's name"),
    ("MultiAgentSystem", "apps.0.containerPort", 8080, "belongs to baseUrl"),
    ("MultiAgentSystem", "apps.1.baseUrl.host", "agent:99999", "1 to 65535"),
    ("MultiAgentSystem", "apps.1.baseUrl.path", "/a/..", ". or .."),
    ("MultiAgentSystem", "apps.1.calls", ["broker"], "calls may name"),
    # The client has no baseUrl, so nobody can call it.
    ("MultiAgentSystem", "apps.1.calls", ["client"], "calls may name"),
    ("MultiAgentSystem", "apps.1.calls", ["agent"], "can't call itself"),
    ("MultiAgentSystem", "apps.1.allowedMethods", ["resources/read"], "methods of an mcp_server"),
    ("MultiAgentSystem", "apps.1.kubernetesWorkloadName", "bank", "workload of its own"),
    ("CASAPolicy", "llmEndpoint.fqdn", "*.openai.com", "wildcard"),
    ("CASAPolicy", "llmEndpoint.fqdn", "*", "wildcard"),
    ("CASAPolicy", "llmEndpoint.fqdn", "10.1.2.3", "an IP address"),
    ("CASAPolicy", "llmEndpoint.fqdn", "fd00::1", "an IP address"),
    ("CASAPolicy", "llmEndpoint.fqdn", "api.openai.com:443", "an IP address or a port"),
    ("CASAPolicy", "llmEndpoint.fqdn", "api.openai.com/v1", "labels of"),
    ("CASAPolicy", "llmEndpoint.fqdn", "api..openai.com", "labels of"),
    ("CASAPolicy", "llmEndpoint.fqdn", "a,b.example.com", "labels of"),
    ("CASAPolicy", "llmEndpoint.fqdn", f"{LONG}.example.com", "labels of"),
]


@with_cel
@pytest.mark.parametrize(("kind", "path", "value", "message"), BY_RULE, ids=lambda value: str(value)[:40])
def test_a_rule_refuses(kind: str, path: str, value: Any, message: str) -> None:
    resource = changed(kind, path, value)
    assert problems(resource) == [], "the schema refuses it already"
    assert any(message in text for text in broken_rules(resource))


@with_cel
def test_a_policys_target_can_not_be_changed() -> None:
    old = changed("CASAPolicy", "targetRef.name", "agent")
    assert broken_rules(changed("CASAPolicy", "targetRef.name", "bank"), old) == [
        "targetRef can't be changed; make another CASAPolicy and delete this one"
    ]
    assert broken_rules(changed("CASAPolicy", "allowedProtocols", ["a2a"]), old) == []


def test_a_systems_name_is_immutable() -> None:
    """The older of two has a name: were one renamed, it would take the name of a newer one that is in force."""
    spec = schema_of("multiagentsystems")["properties"]["spec"]
    assert "self == oldSelf" in [rule["rule"] for rule in spec["properties"]["name"]["x-kubernetes-validations"]]
    # Otherwise it could be left out once and then be another.
    assert "name" in spec["required"]


@with_cel
def test_a_systems_name_can_not_be_changed() -> None:
    old = changed("MultiAgentSystem", "name", "banking")
    assert broken_rules(changed("MultiAgentSystem", "name", "savings"), old) == [
        "name can't be changed; make another MultiAgentSystem and delete this one"
    ]
    # Nor to what comes to the same at the runtime.
    assert broken_rules(changed("MultiAgentSystem", "name", "Banking"), old)
    assert broken_rules(changed("MultiAgentSystem", "allowUndecided", True), old) == []


@with_cel
@pytest.mark.parametrize("fqdn", ["api.openai.com", "API.OpenAI.com", "llm", "3com.example.co.uk", "xn--bcher-kva.example"])
def test_host_names_are_taken(fqdn: str) -> None:
    assert refusals(changed("CASAPolicy", "llmEndpoint.fqdn", fqdn)) == []


@pytest.mark.parametrize("path", ["$", "$.prompt", "$.a.b[0]['c d'].e", "$['a.b']"])
def test_prompt_paths_are_taken(path: str) -> None:
    assert problems(changed("MultiAgentSystem", "apps.1.httpRequestSchema", {"promptFieldJsonPath": path})) == []


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/a.b/c-d_e~f", "/openai/deployments/x"])
def test_paths_are_taken(path: str) -> None:
    assert refusals(changed("MultiAgentSystem", "llm.basePath", path)) == []


# --- the files -----------------------------------------------------------------------------------


def test_the_folder_can_be_applied_as_it_is() -> None:
    """`kubectl apply -f deploy/crds` takes every file there for an object."""
    for path in DEFINITIONS.iterdir():
        assert [document["kind"] for document in read(path)] == ["CustomResourceDefinition"], path.name


def test_the_example_is_the_system_of_the_demo() -> None:
    (example,) = read(ROOT / "examples/kubernetes/every-field-mas.yaml")
    (made,) = [made for made in manifests(DEMO) if made["kind"] == "MultiAgentSystem"]
    assert example["spec"]["llm_host"] == made["spec"]["llm_host"]
    for shown, run in zip(example["spec"]["apps"], made["spec"]["apps"], strict=True):
        assert {key: shown[key] for key in run if key != "baseUrl"} == {k: v for k, v in run.items() if k != "baseUrl"}
        assert run.get("baseUrl", {}).items() <= shown.get("baseUrl", {}).items()
