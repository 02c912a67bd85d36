"""What Helm makes of the charts, for a matrix of values and versions of Kubernetes.

What is made from the charts (golden manifests, tables of values, the chart's copy of the CRDs) is written anew by
`make charts`, which sets CASA_GOLDEN=write; look at the difference before you commit it.
"""

from __future__ import annotations

import base64
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import helm_python
import pytest
import values_table
import yaml
from charts import (
    CHARTS,
    DEMO,
    GOLDEN,
    ROOT,
    RUNTIME,
    VERSIONS,
    Manifest,
    Values,
    cluster,
    identity,
    kubernetes_problems,
    manifests,
    named,
    one,
    pod_specs,
    render,
    with_secrets_masked,
)

IS_WRITING = os.environ.get("CASA_GOLDEN") == "write"

DATABASES: dict[str, Values] = {
    "external": {"postgresql": {"external": {"urlSecret": {"name": "casa-database"}}}},
    "in-chart": {"postgresql": {"enabled": True}},
    "sqlite": {"runtime": {"replicas": 1, "sqlite": {"enabled": True}}},
}
MATRIX = [
    (f"{mode}-{database}-{'guarded' if guard else 'unguarded'}-{version}", mode, database, guard, version)
    for mode, database, guard, version in itertools.product(
        ("cilium", "istio"), DATABASES, (False, True), ("1.28", "1.35")
    )
]
EXTERNAL = DATABASES["external"]


def ci_values(chart: Path) -> dict[str, Values]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted((chart / "ci").glob("*.yaml"))}


CASES = [
    pytest.param(chart, values, id=f"{chart.name}-{name}")
    for chart in (RUNTIME, DEMO)
    for name, values in ci_values(chart).items()
] + [pytest.param(DEMO, {}, id="casa-demo-defaults")]


MODES: dict[str, Values] = {
    "cilium": {"mode": "cilium"},
    "istio": {"mode": "istio", "injector": {"istioProxyImage": "docker.io/istio/proxyv2:1.27.0"}},
}


def values_of(mode: str, database: str = "external", guard: bool = False) -> Values:
    return {**DATABASES[database], **MODES[mode], "nodeGuard": {"enabled": guard}}


# --- what Kubernetes takes -----------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "database", "guard", "version"), [c[1:] for c in MATRIX], ids=[c[0] for c in MATRIX])
def test_kubernetes_takes_what_any_choice_of_values_makes(mode: str, database: str, guard: bool, version: str) -> None:
    objects = manifests(RUNTIME, values_of(mode, database, guard), version=version)
    assert [problem for made in objects for problem in kubernetes_problems(made, version)] == []
    assert len({identity(made) for made in objects}) == len(objects), "two objects have the same name"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_takes_the_usual_values(version: str) -> None:
    objects = manifests(RUNTIME, EXTERNAL, version=version) + manifests(DEMO, version=version)
    assert [problem for made in objects for problem in kubernetes_problems(made, version)] == []


@pytest.mark.parametrize(("chart", "values"), CASES)
def test_kubernetes_takes_the_charts_own_examples(chart: Path, values: Values) -> None:
    for version in (VERSIONS[0], VERSIONS[-1]):
        for made in manifests(chart, values, version=version):
            assert kubernetes_problems(made, version) == ()


def test_a_manifest_with_an_unknown_field_is_not_taken() -> None:
    """The check above can fail."""
    deployment = one(manifests(RUNTIME, EXTERNAL), "Deployment", "casa-runtime")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    assert kubernetes_problems(deployment, "1.35")


@pytest.mark.parametrize(("chart", "values"), CASES)
def test_helm_lint_finds_nothing(chart: Path, values: Values) -> None:
    report = helm_python.lint(chart, values, strict=True, namespace="casa-system", kube_version="v1.35.0")
    found = [message for message in report["messages"] if message["severity"] > 1]
    assert (found, report["errors"]) == ([], [])


@pytest.mark.parametrize("chart", [RUNTIME, DEMO], ids=lambda chart: chart.name)
def test_kubernetes_older_than_what_was_validated_is_refused(chart: Path) -> None:
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert metadata["kubeVersion"] == f">={VERSIONS[0]}.0-0"


# --- golden files --------------------------------------------------------------------------------


@pytest.mark.parametrize(("chart", "values"), CASES)
def test_what_is_made_is_what_was_reviewed(chart: Path, values: Values, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{request.node.callspec.id}.yaml"
    made = yaml.safe_dump_all(with_secrets_masked(manifests(chart, values)), sort_keys=False, width=120)
    if IS_WRITING:
        path.write_text(made)
    assert made == path.read_text(), f"{path.name} differs: look at the difference, then `make charts`"


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == {case.id for case in CASES}


def test_selectors_are_those_of_the_previous_release() -> None:
    """Nobody can change them in a cluster: an upgrade would fail."""
    path = GOLDEN / "selectors.json"
    found: dict[str, Any] = {}
    for chart, values in ((RUNTIME, ci_values(RUNTIME)["everything-values"]), (DEMO, {})):
        for made in manifests(chart, values):
            name = "/".join(identity(made))
            if made["kind"] in ("Deployment", "DaemonSet", "StatefulSet"):
                found[name] = {"selector": made["spec"]["selector"]}
            if made["kind"] == "StatefulSet":
                found[name]["serviceName"] = made["spec"]["serviceName"]
                found[name]["volumes"] = [claim["metadata"]["name"] for claim in made["spec"]["volumeClaimTemplates"]]
            if made["kind"] == "PersistentVolumeClaim":
                found[name] = {"accessModes": made["spec"]["accessModes"]}
    stored = json.loads(path.read_text()) if path.exists() else {}
    if IS_WRITING:
        # What is stored stays: only what is new is added.
        stored = {**found, **stored}
        path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    assert found == stored


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chart", [RUNTIME, DEMO], ids=lambda chart: chart.name)
class TestValues:
    def test_are_all_documented_line_by_line(self, chart: Path) -> None:
        documented = {key for key, _, _ in values_table.rows(chart / "values.yaml")}
        assert values_table.leaves(yaml.safe_load((chart / "values.yaml").read_text()), documented) == []

    def test_stand_in_the_readme(self, chart: Path) -> None:
        readme = chart / "README.md"
        made = values_table.with_table(readme.read_text(), chart / "values.yaml")
        if IS_WRITING:
            readme.write_text(made)
        assert made == readme.read_text(), "the table of values is old: make charts"

    def test_are_all_in_the_schema_and_nothing_else_is(self, chart: Path) -> None:
        def differences(schema: dict[str, Any], values: Any, path: str) -> list[str]:
            if "properties" not in schema:
                return []
            assert schema.get("additionalProperties") is False, f"{path} takes unknown values"
            known, given = set(schema["properties"]) - {"global"}, set(values)
            below = [differences(schema["properties"][key], values[key], f"{path}.{key}") for key in known & given]
            return sorted(f"{path}.{key}" for key in known ^ given) + list(itertools.chain(*below))

        schema = json.loads((chart / "values.schema.json").read_text())
        assert differences(schema, yaml.safe_load((chart / "values.yaml").read_text()), "") == []


@pytest.mark.parametrize(
    ("values", "named_field"),
    [
        ({"mode": "linkerd"}, "mode"),
        ({"modes": "istio"}, "modes"),
        ({"runtime": {"replica": 3}}, "replica"),
        ({"runtime": {"replicas": 0}}, "replicas"),
        ({"runtime": {"replicas": "2"}}, "replicas"),
        ({"runtime": {"tokenLifetime": 3601}}, "tokenLifetime"),
        ({"runtime": {"algorithm": "HS256"}}, "algorithm"),
        ({"runtime": {"issuer": "https://casa.example.com/"}}, "issuer"),
        ({"runtime": {"resources": {"limits": {"memory": "lots"}}}}, "memory"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"injector": {"nativeSidecars": "maybe"}}, "nativeSidecars"),
        ({"injector": {"timeoutSeconds": 31}}, "timeoutSeconds"),
        ({"injector": {"defaultUser": 1337}}, "defaultUser"),
        ({"injector": {"exemptGroups": []}}, "exemptGroups"),
        ({"injector": {"failurePolicy": "Ignore"}}, "failurePolicy"),
        ({"nodeGuard": {"namespace": "Casa Node"}}, "namespace"),
        ({"networkPolicy": {"apiServerPorts": [70000]}}, "apiServerPorts"),
        ({"networkPolicy": {"apiServerCIDRs": []}}, "apiServerCIDRs"),
        ({"controller": {"secretNamespaces": ["*"]}}, "secretNamespaces"),
        ({"postgresql": {"url": "postgres://user:password@host/casa"}}, "url"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_values_that_make_no_sense_are_refused(values: Values, named_field: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match=named_field):
        render(RUNTIME, values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "exactly one database, got 0"),
        ({**EXTERNAL, "runtime": {"replicas": 1, "sqlite": {"enabled": True}}}, "exactly one database, got 2"),
        ({"runtime": {"sqlite": {"enabled": True}}}, "SQLite belongs to one runtime"),
        (
            {"runtime": {"replicas": 1, "sqlite": {"enabled": True}, "autoscaling": {"enabled": True}}},
            "SQLite belongs to one runtime",
        ),
        ({**EXTERNAL, "runtime": {"autoscaling": {"minReplicas": 11}}}, "minReplicas must not be more"),
        ({**EXTERNAL, "nodeGuard": {"namespace": "casa-system"}}, "must be another namespace"),
        ({**EXTERNAL, "mode": "istio"}, "istioProxyImage must name"),
        ({**EXTERNAL, "injector": {"tls": {"caBundle": "QUJD"}}}, "existingSecret, which is not set"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_contradict_each_other_are_refused(values: Values, reason: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match=reason):
        render(RUNTIME, values)


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_casa_takes_no_namespace_that_others_live_in(namespace: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match="a namespace of its own"):
        render(RUNTIME, EXTERNAL, namespace=namespace)


def test_the_demo_wants_to_know_its_llm() -> None:
    with pytest.raises(helm_python.HelmRenderError, match="llm.host must name the LLM"):
        render(DEMO, {"llm": {"standIn": {"enabled": False}}})
    with pytest.raises(helm_python.HelmRenderError, match="makes the namespace banking itself"):
        render(DEMO, namespace="banking")
    with pytest.raises(helm_python.HelmRenderError, match="must differ from namespace.name"):
        render(DEMO, {"llm": {"standIn": {"namespace": "banking"}}})


# --- secrets -------------------------------------------------------------------------------------


def secret_data(objects: list[Manifest], name: str) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in one(objects, "Secret", name)["data"].items()}


class TestSecrets:
    def test_are_made_at_random_at_the_first_installation(self) -> None:
        first = manifests(RUNTIME, DATABASES["in-chart"], release="first")
        second = manifests(RUNTIME, DATABASES["in-chart"], release="second")
        for name, key in (("casa-admin", "admin-credential"), ("casa-postgresql", "password")):
            assert secret_data(first, name)[key] != secret_data(second, name)[key]
        assert re.fullmatch(r"cs_[A-Za-z0-9]{43}", secret_data(first, "casa-admin")["admin-credential"])
        postgresql = secret_data(first, "casa-postgresql")
        assert f"casa:{postgresql['password']}@casa-postgresql." in postgresql["url"]

    def test_are_kept_by_an_upgrade(self) -> None:
        before = manifests(RUNTIME, DATABASES["in-chart"])
        secrets = [made for made in before if made["kind"] == "Secret"]
        with cluster(secrets) as config:
            after = manifests(RUNTIME, DATABASES["in-chart"], config=config)
        for secret in secrets:
            assert one(after, "Secret", secret["metadata"]["name"])["data"] == secret["data"]

    def test_outlive_the_release_with_the_data_they_open(self) -> None:
        for database in ("in-chart", "sqlite"):
            for made in manifests(RUNTIME, DATABASES[database]):
                if made["kind"] in ("Secret", "PersistentVolumeClaim"):
                    assert made["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"

    def test_of_ones_own_are_used_instead(self) -> None:
        values = {**EXTERNAL, "admin": {"existingSecret": "mine"}}
        objects = manifests(RUNTIME, values)
        assert named(objects, "Secret") == set()
        for part in ("runtime", "controller"):
            assert '"mine"' in json.dumps(one(objects, "Deployment", f"casa-{part}"))

    def test_stand_in_no_argument_and_no_environment(self) -> None:
        objects = manifests(RUNTIME, DATABASES["in-chart"])
        secrets = [value for made in objects if made["kind"] == "Secret" for value in made["data"].values()]
        texts = [base64.b64decode(value).decode() for value in secrets]
        for made in objects:
            if made["kind"] != "Secret":
                assert not [text for text in texts + secrets if text in json.dumps(made)]


# --- pods ----------------------------------------------------------------------------------------

EVERYTHING = ci_values(RUNTIME)["everything-values"]


def all_pods() -> list[Any]:
    found = {}
    for chart, values in ((RUNTIME, EVERYTHING), (RUNTIME, DATABASES["sqlite"]), (DEMO, {}), (DEMO, {"mode": "istio"})):
        for name, template, spec in pod_specs(manifests(chart, values)):
            found[f"{chart.name}-{name}-{len(found)}"] = (chart, name, template, spec)
    return [pytest.param(*pod, id=name) for name, pod in found.items()]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return spec.get("initContainers", []) + spec["containers"]


@pytest.mark.parametrize(("chart", "name", "template", "spec"), all_pods())
class TestPods:
    def test_keep_to_the_restricted_profile_but_for_the_node_guard(
        self, chart: Path, name: str, template: Manifest, spec: dict[str, Any]
    ) -> None:
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.get("hostNetwork") and not spec.get("hostIPC")
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"] and not context.get("privileged")
            if name == "casa-node-guard":
                assert context["capabilities"].get("add", []) in ([], ["BPF", "NET_ADMIN", "PERFMON"])
            else:
                assert "add" not in context["capabilities"] and context["runAsNonRoot"] is True
        if name != "casa-node-guard":
            assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
            assert not spec.get("hostPID")
            allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
            assert all(set(volume) - {"name"} <= allowed for volume in spec.get("volumes", []))

    def test_say_what_they_need_and_how_they_are(
        self, chart: Path, name: str, template: Manifest, spec: dict[str, Any]
    ) -> None:
        for container in containers(spec):
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"]
            if container.get("ports"):
                assert container["startupProbe"] and (container.get("readinessProbe") or container["livenessProbe"])
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                assert port is None or port in [known["name"] for known in container["ports"]]

    def test_get_a_token_only_where_they_ask_the_api_server(
        self, chart: Path, name: str, template: Manifest, spec: dict[str, Any]
    ) -> None:
        assert spec["automountServiceAccountToken"] is (name == "casa-controller")
        token_volumes = {
            volume["name"]
            for volume in spec.get("volumes", [])
            if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
        }
        holders = [
            container["name"]
            for container in containers(spec)
            if token_volumes & {mount["name"] for mount in container.get("volumeMounts", [])}
        ]
        assert holders == (["prepare", "follow"] if name == "casa-node-guard" else [])

    def test_are_not_started_anew_for_a_new_chart_alone(
        self, chart: Path, name: str, template: Manifest, spec: dict[str, Any]
    ) -> None:
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(template["metadata"]["labels"])

    def test_mount_what_there_is(self, chart: Path, name: str, template: Manifest, spec: dict[str, Any]) -> None:
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        volumes |= {"data"} if name == "casa-postgresql" else set()
        mounted = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        assert mounted == volumes

    def test_are_spread_and_come_before_apps(
        self, chart: Path, name: str, template: Manifest, spec: dict[str, Any]
    ) -> None:
        if chart != RUNTIME:
            return
        assert spec["priorityClassName"] in ("casa-system", "system-node-critical")
        if name in ("casa-runtime", "casa-controller", "casa-injector"):
            for constraint in spec["topologySpreadConstraints"]:
                selector = constraint["labelSelector"]["matchLabels"]
                assert selector.items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize(("chart", "values"), CASES)
def test_every_selector_finds_what_it_is_for(chart: Path, values: Values) -> None:
    objects = manifests(chart, values)
    templates = {
        (made["metadata"]["namespace"], name): template
        for made in objects
        for name, template, _ in pod_specs([made])
    }
    for made in objects:
        if made["kind"] not in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            continue
        selector = made["spec"].get("selector") or made["spec"].get("podSelector") or {}
        wanted = selector.get("matchLabels", selector)
        found = [
            template
            for (namespace, _), template in templates.items()
            if namespace == made["metadata"]["namespace"] and wanted.items() <= template["metadata"]["labels"].items()
        ]
        assert found, f"{identity(made)} selects nothing"
        if made["kind"] == "Service":
            assert len(found) == 1
            ports = {port["name"] for c in found[0]["spec"]["containers"] for port in c.get("ports", [])}
            assert {port["targetPort"] for port in made["spec"]["ports"]} <= ports


class TestNodeGuard:
    def test_has_rights_over_the_kernel_or_over_the_api_but_never_both_in_one_container(self) -> None:
        daemon = one(manifests(RUNTIME, EVERYTHING), "DaemonSet", "casa-node-guard")
        guard, follow = daemon["spec"]["template"]["spec"]["containers"]
        assert (guard["name"], follow["name"]) == ("guard", "follow")
        assert guard["securityContext"]["capabilities"]["add"] == ["BPF", "NET_ADMIN", "PERFMON"]
        assert "add" not in follow["securityContext"]["capabilities"] and follow["securityContext"]["runAsUser"] == 1337
        mounts = {mount["name"]: mount for mount in guard["volumeMounts"]}
        assert "token" not in mounts and mounts["exchange"]["readOnly"] is True
        assert {mount["name"] for mount in follow["volumeMounts"]} == {"exchange", "token"}

    def test_has_a_policy_before_it_begins(self) -> None:
        spec = one(manifests(RUNTIME, EVERYTHING), "DaemonSet", "casa-node-guard")["spec"]["template"]["spec"]
        (prepare,) = spec["initContainers"]
        follow = spec["containers"][1]
        assert [word for word in prepare["args"] if word not in follow["args"]] == ["--once"]
        assert {**prepare, "name": "", "args": []} == {**follow, "name": "", "args": []}

    def test_lives_in_a_namespace_of_its_own(self) -> None:
        objects = manifests(RUNTIME, {**EXTERNAL, "nodeGuard": {"enabled": True}})
        namespace = one(objects, "Namespace", "casa-node")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
        assert "casa.io/injection" not in namespace["metadata"]["labels"]
        assert one(objects, "DaemonSet", "casa-node-guard")["metadata"]["namespace"] == "casa-node"

    def test_is_not_there_unless_it_is_wanted(self) -> None:
        assert not [made for made in manifests(RUNTIME, EXTERNAL) if "node" in made["metadata"]["name"]]

    def test_can_be_told_to_end_enforcement(self) -> None:
        objects = manifests(RUNTIME, {**EXTERNAL, "nodeGuard": {"enabled": True, "detach": True}})
        spec = one(objects, "DaemonSet", "casa-node-guard")["spec"]["template"]["spec"]
        assert [container["args"][:2] for container in spec["initContainers"]] == [["node", "detach"]]
        assert [container["name"] for container in spec["containers"]] == ["follow"]


# --- rights --------------------------------------------------------------------------------------


def rules_of(objects: list[Manifest], account: str) -> list[tuple[str | None, dict[str, Any]]]:
    """Each rule that a service account has, with the namespace it holds in; None for all."""
    roles = {identity(made): made["rules"] for made in objects if made["kind"] in ("Role", "ClusterRole")}
    found = []
    for made in objects:
        if made["kind"] in ("RoleBinding", "ClusterRoleBinding") and account in [s["name"] for s in made["subjects"]]:
            namespace = made["metadata"].get("namespace")
            kind = made["roleRef"]["kind"]
            role = roles[kind, (namespace or "") if kind == "Role" else "", made["roleRef"]["name"]]
            found += [(namespace, rule) for rule in role]
    return found


class TestRights:
    @pytest.mark.parametrize("values", [EXTERNAL, values_of("istio"), EVERYTHING], ids=["cilium", "istio", "all"])
    def test_name_everything_and_nothing_dangerous(self, values: Values) -> None:
        dangerous = {"*", "escalate", "bind", "impersonate", "deletecollection"}
        for made in manifests(RUNTIME, values):
            if made["kind"] not in ("Role", "ClusterRole") or made["metadata"]["name"] == "casa-admin":
                continue
            for rule in made["rules"]:
                assert not dangerous & set(rule["verbs"]), rule
                assert "*" not in rule["apiGroups"] + rule["resources"] and "nonResourceURLs" not in rule
                assert not {"pods/exec", "serviceaccounts/token", "nodes"} & set(rule["resources"])
                if "pods" in rule["resources"]:
                    assert set(rule["verbs"]) == {"get", "list", "watch"}

    @pytest.mark.parametrize("account", ["casa-injector", "casa-runtime"])
    def test_of_injector_and_runtime_are_none(self, account: str) -> None:
        assert rules_of(manifests(RUNTIME, EVERYTHING), account) == []

    def test_of_the_node_guard_are_to_look(self) -> None:
        rules = rules_of(manifests(RUNTIME, EVERYTHING), "casa-node-guard")
        assert rules and all(set(rule["verbs"]) == {"get", "list", "watch"} for _, rule in rules)
        resources = {resource for _, rule in rules for resource in rule["resources"]}
        assert resources == {"multiagentsystems", "casapolicies", "namespaces", "pods", "services", "endpointslices"}

    def test_of_nobody_list_secrets(self) -> None:
        for made in manifests(RUNTIME, EVERYTHING) + manifests(RUNTIME, EXTERNAL):
            if made["kind"] in ("Role", "ClusterRole"):
                for rule in made["rules"]:
                    assert "secrets" not in rule["resources"] or not {"list", "watch"} & set(rule["verbs"])

    def test_over_secrets_can_be_kept_to_some_namespaces(self) -> None:
        everywhere = rules_of(manifests(RUNTIME, EXTERNAL), "casa-controller")
        assert None in {namespace for namespace, rule in everywhere if "secrets" in rule["resources"]}
        objects = manifests(RUNTIME, {**EXTERNAL, "controller": {"secretNamespaces": ["banking"]}})
        some = rules_of(objects, "casa-controller")
        assert {namespace for namespace, rule in some if "secrets" in rule["resources"]} == {"banking", "casa-system"}
        own = [rule for namespace, rule in some if namespace == "casa-system" and "secrets" in rule["resources"]]
        assert all(rule["verbs"] == ["create"] or rule["resourceNames"] for rule in own)

    def test_over_webhooks_are_over_casas_own(self) -> None:
        for _, rule in rules_of(manifests(RUNTIME, EXTERNAL), "casa-controller"):
            if "admissionregistration.k8s.io" in rule["apiGroups"]:
                assert rule["resourceNames"] == ["casa-injector"] and "create" not in rule["verbs"]

    def test_over_a_modes_objects_are_given_in_that_mode_only(self) -> None:
        def groups(mode: str) -> set[str]:
            rules = rules_of(manifests(RUNTIME, values_of(mode)), "casa-controller")
            return {group for _, rule in rules for group in rule["apiGroups"]}

        assert "cilium.io" in groups("cilium") and not {g for g in groups("cilium") if g.endswith("istio.io")}
        assert {"networking.istio.io", "security.istio.io"} <= groups("istio") and "cilium.io" not in groups("istio")


# --- webhooks ------------------------------------------------------------------------------------

CONTROLLER = "system:serviceaccount:casa-system:casa-controller"
COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
has_cel = importlib.util.find_spec("cel") is not None


class TestWebhooks:
    @staticmethod
    def webhooks(values: Values) -> dict[str, dict[str, Any]]:
        return {
            webhook["name"]: webhook
            for made in manifests(RUNTIME, values)
            if made["kind"].endswith("WebhookConfiguration")
            for webhook in made["webhooks"]
        }

    @pytest.mark.parametrize("mode", ["cilium", "istio"])
    def test_fail_closed_and_soon(self, mode: str) -> None:
        for webhook in self.webhooks(values_of(mode)).values():
            assert webhook["failurePolicy"] == "Fail" and webhook["timeoutSeconds"] == 5
            assert webhook["sideEffects"] == "None" and webhook["admissionReviewVersions"] == ["v1"]
            service = webhook["clientConfig"]["service"]
            assert (service["namespace"], service["name"], service["port"]) == ("casa-system", "casa-injector", 443)

    def test_leave_the_certificate_to_the_controller_unless_one_is_given(self) -> None:
        for webhook in self.webhooks(EXTERNAL).values():
            assert "caBundle" not in webhook["clientConfig"]
        given = self.webhooks({**EXTERNAL, "injector": {"tls": {"existingSecret": "mine", "caBundle": "QUJD"}}})
        assert {webhook["clientConfig"]["caBundle"] for webhook in given.values()} == {"QUJD"}

    def test_look_at_labelled_namespaces_and_never_at_the_systems_own(self) -> None:
        for name, webhook in self.webhooks(EXTERNAL).items():
            if name == "namespaces.casa.io":
                assert webhook["objectSelector"] == {"matchLabels": {"casa.io/injection": "enabled"}}
                continue
            *label, own = webhook["namespaceSelector"]["matchExpressions"]
            # A workload's Secret, and what an object names, matter in a namespace that is not labelled yet, too.
            if name not in ("secrets.casa.io", "targets.casa.io"):
                assert label == [{"key": "casa.io/injection", "operator": "In", "values": ["enabled"]}]
            assert (own["key"], own["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
            assert {"kube-system", "casa-system", "casa-node"} <= set(own["values"])

    def test_see_all_by_which_a_workload_could_be_changed(self) -> None:
        seen = {
            (operation, resource)
            for webhook in self.webhooks(EXTERNAL).values()
            for rule in webhook["rules"]
            for operation in rule["operations"]
            for resource in rule["resources"]
        }
        assert seen == {
            ("CREATE", "pods"),
            ("UPDATE", "pods"),
            ("UPDATE", "pods/ephemeralcontainers"),
            ("CONNECT", "pods/exec"),
            ("CONNECT", "pods/attach"),
            ("CONNECT", "pods/portforward"),
            ("UPDATE", "pods/resize"),
            ("UPDATE", "pods/status"),
            ("CREATE", "multiagentsystems"),
            ("UPDATE", "multiagentsystems"),
            ("CREATE", "casapolicies"),
            ("UPDATE", "casapolicies"),
            ("UPDATE", "namespaces"),
            # By these, too, the API server takes labels.
            ("UPDATE", "namespaces/status"),
            ("UPDATE", "namespaces/finalize"),
            ("CREATE", "secrets"),
            ("UPDATE", "secrets"),
            ("DELETE", "secrets"),
        }

    @pytest.mark.skipif(not has_cel, reason="the package common-expression-language is not installed")
    @pytest.mark.parametrize(
        ("old", "new", "asked"),
        [
            ({"casa.io/injection": "enabled"}, None, True),
            ({"casa.io/injection": "enabled"}, {"team": "a"}, True),
            ({"casa.io/injection": "enabled"}, {"casa.io/injection": "off"}, True),
            ({"casa.io/injection": "enabled"}, {"casa.io/injection": "enabled", "team": "a"}, False),
            (None, {"casa.io/injection": "enabled"}, False),
            ({"team": "a"}, {"casa.io/injection": "enabled"}, False),
        ],
    )
    def test_are_asked_when_a_namespace_loses_its_label(self, old: Any, new: Any, asked: bool) -> None:
        context = {
            "oldObject": {"metadata": {"labels": old} if old else {}},
            "object": {"metadata": {"labels": new} if new else {}},
        }
        assert self.is_asked("namespaces.casa.io", context) is asked

    @pytest.mark.skipif(not has_cel, reason="the package common-expression-language is not installed")
    @pytest.mark.parametrize(
        ("operation", "request_name", "metadata", "user", "asked"),
        [
            ("CREATE", "casa-workload-a", {"name": "casa-workload-a"}, "jane", True),
            ("CREATE", "", {"name": "casa-workload-a"}, "jane", True),
            ("CREATE", "", {"generateName": "casa-workload-"}, "jane", True),
            ("CREATE", "mine", {"name": "mine"}, "jane", False),
            ("UPDATE", "casa-workload-a", {"name": "casa-workload-a"}, "jane", True),
            ("DELETE", "casa-workload-a", {"name": "casa-workload-a"}, "jane", True),
            # Deleting all at once has no name.
            ("DELETE", "", {"name": "casa-workload-a"}, "jane", True),
            ("UPDATE", "casa-workload-a", {"name": "casa-workload-a"}, CONTROLLER, False),
            ("UPDATE", "casa-workload-a", {"name": "casa-workload-a"}, "system:serviceaccount:x:casa-controller", True),
            ("DELETE", "casa-workload-a", {"name": "casa-workload-a"}, COLLECTOR, False),
            ("UPDATE", "casa-workload-a", {"name": "casa-workload-a"}, COLLECTOR, True),
        ],
    )
    def test_are_asked_when_others_touch_a_workloads_secret(
        self, operation: str, request_name: str, metadata: dict[str, str], user: str, asked: bool
    ) -> None:
        request = {"operation": operation, "name": request_name, "userInfo": {"username": user}}
        stored = {"metadata": metadata}
        context = {
            "request": request,
            "object": {} if operation == "DELETE" else stored,
            "oldObject": {} if operation == "CREATE" else stored,
        }
        assert self.is_asked("secrets.casa.io", context) is asked

    @pytest.mark.skipif(not has_cel, reason="the package common-expression-language is not installed")
    @pytest.mark.parametrize(
        ("old", "new", "asked"),
        [
            ({}, {}, False),
            ({"labels": {"a": "1"}}, {"labels": {"a": "1"}}, False),
            ({"labels": {"a": "1"}}, {"labels": {"a": "2"}}, True),
            ({}, {"labels": {"casa.io/workload": "bank"}}, True),
            ({"annotations": {"casa.io/sidecar-image": "x"}}, {}, True),
        ],
    )
    def test_are_asked_when_a_status_brings_other_labels(self, old: Any, new: Any, asked: bool) -> None:
        context = {"oldObject": {"metadata": old}, "object": {"metadata": new}}
        assert self.is_asked("status.pods.casa.io", context) is asked

    def is_asked(self, name: str, context: dict[str, Any]) -> bool:
        """Whether all conditions hold. They read on where Kubernetes would stop at the first that does not."""
        import cel

        return all(
            cel.evaluate(condition["expression"], context) is True
            for condition in self.webhooks(EXTERNAL)[name]["matchConditions"]
        )

    def test_are_called_before_istios_and_not_again_after_it(self) -> None:
        for mode, policy in (("cilium", "IfNeeded"), ("istio", "Never")):
            made = one(manifests(RUNTIME, values_of(mode)), "MutatingWebhookConfiguration", "casa-injector")
            assert [webhook["reinvocationPolicy"] for webhook in made["webhooks"]] == [policy]
        # They are called in the order of their names.
        assert "casa-injector" < "istio-revision-tag-default" < "istio-sidecar-injector"

    @pytest.mark.parametrize(
        ("version", "asked", "native"),
        [
            ("1.28", "auto", "--no-native-sidecars"),
            ("1.29", "auto", "--native-sidecars"),
            ("1.35", "auto", "--native-sidecars"),
            ("1.35", False, "--no-native-sidecars"),
            ("1.35", "false", "--no-native-sidecars"),
            ("1.28", True, "--native-sidecars"),
        ],
    )
    def test_use_native_sidecars_where_the_cluster_has_them(self, version: str, asked: Any, native: str) -> None:
        objects = manifests(RUNTIME, {**EXTERNAL, "injector": {"nativeSidecars": asked}}, version=version)
        given = arguments(one(objects, "Deployment", "casa-injector"))
        assert [name for name in given if "native" in name] == [native]


# --- networks ------------------------------------------------------------------------------------


class TestNetworks:
    def test_are_closed_by_default(self) -> None:
        objects = manifests(RUNTIME, EVERYTHING)
        for namespace in ("casa-system", "casa-node"):
            policies = [m for m in objects if identity(m) == ("NetworkPolicy", namespace, "casa-default-deny")]
            assert [policy["spec"] for policy in policies] == [
                {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
            ]
        for made in objects:
            if made["kind"] == "NetworkPolicy":
                assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]

    def test_let_the_injector_call_nobody(self) -> None:
        assert one(manifests(RUNTIME, EXTERNAL), "NetworkPolicy", "casa-injector")["spec"]["egress"] == []

    def test_let_apps_and_the_controller_reach_the_runtime(self) -> None:
        policy = one(manifests(RUNTIME, EXTERNAL), "NetworkPolicy", "casa-runtime")["spec"]
        assert policy["ingress"][0]["ports"] == [{"port": 8700, "protocol": "TCP"}]
        assert policy["ingress"][0]["from"] == [
            {"namespaceSelector": {"matchLabels": {"casa.io/injection": "enabled"}}},
            {
                "podSelector": {
                    "matchLabels": {"app.kubernetes.io/name": "casa", "app.kubernetes.io/component": "controller"}
                }
            },
        ]

    def test_let_only_the_runtime_reach_the_database(self) -> None:
        (rule,) = one(manifests(RUNTIME, DATABASES["in-chart"]), "NetworkPolicy", "casa-postgresql")["spec"]["ingress"]
        assert [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["from"]] == ["runtime"]

    def test_know_the_api_server_as_an_identity_with_cilium(self) -> None:
        assert named(manifests(RUNTIME, EXTERNAL), "CiliumNetworkPolicy") == {"casa-controller-api-server"}
        assert named(manifests(RUNTIME, values_of("istio")), "CiliumNetworkPolicy") == set()

    def test_can_be_left_to_others(self) -> None:
        objects = manifests(RUNTIME, {**EXTERNAL, "networkPolicy": {"enabled": False}})
        assert not [made for made in objects if "NetworkPolicy" in made["kind"]]


# --- the runtime ---------------------------------------------------------------------------------


def arguments(made: Manifest, container: int = 0) -> list[str]:
    return made["spec"]["template"]["spec"]["containers"][container]["args"]


def option(made: Manifest, name: str) -> str | None:
    given = arguments(made)
    return given[given.index(name) + 1] if name in given else None


class TestRuntime:
    def test_shares_postgresql_and_is_replaced_one_by_one(self) -> None:
        deployment = one(manifests(RUNTIME, EXTERNAL), "Deployment", "casa-runtime")
        assert deployment["spec"]["replicas"] == 2
        assert option(deployment, "--database-file") == "/etc/casa/database-url"
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0

    def test_is_alone_with_sqlite(self) -> None:
        objects = manifests(RUNTIME, DATABASES["sqlite"])
        deployment = one(objects, "Deployment", "casa-runtime")
        assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
        assert option(deployment, "--database-file") is None
        assert named(objects, "PersistentVolumeClaim") == {"casa-runtime"}
        assert "casa-runtime" not in named(objects, "PodDisruptionBudget")

    def test_leaves_its_number_to_the_autoscaler(self) -> None:
        objects = manifests(RUNTIME, {**EXTERNAL, "runtime": {"autoscaling": {"enabled": True}}})
        assert "replicas" not in one(objects, "Deployment", "casa-runtime")["spec"]
        assert named(objects, "HorizontalPodAutoscaler") == {"casa-runtime"}

    @pytest.mark.parametrize("mode", ["cilium", "istio"])
    def test_mode_is_said_once_and_reaches_all(self, mode: str) -> None:
        objects = manifests(RUNTIME, values_of(mode))
        for part in ("controller", "injector"):
            assert option(one(objects, "Deployment", f"casa-{part}"), "--mode") == mode

    def test_is_called_by_the_name_that_stands_in_tokens(self) -> None:
        objects = manifests(RUNTIME, {**EXTERNAL, "clusterDomain": "example.internal"})
        url = "http://casa-runtime.casa-system.svc.example.internal:8700"
        assert option(one(objects, "Deployment", "casa-runtime"), "--issuer") == url
        assert option(one(objects, "Deployment", "casa-controller"), "--runtime") == url


# --- the custom resource definitions -------------------------------------------------------------


def test_the_chart_installs_the_same_definitions() -> None:
    for path in sorted((ROOT / "deploy" / "crds").glob("*.casa.io.yaml")):
        copy = RUNTIME / "crds" / path.name
        if IS_WRITING:
            shutil.copy(path, copy)
        assert copy.read_bytes() == path.read_bytes(), f"{copy} differs: make charts"
    assert len(list((RUNTIME / "crds").iterdir())) == 2


def test_charts_have_the_programs_version() -> None:
    binary = os.environ.get("CASA_BINARY", ROOT / ".build/debug/casa")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    for chart in CHARTS.iterdir():
        assert yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"] == version
