"""The controller against a fake API server and a real runtime: what it makes, repairs, refuses and takes away."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from casa_controller import Controller, app, phase, policy, reason, secret_text, system, writes
from casa_runtime import Runtime, wait_until
from fake_api import FakeAPI

CRDS = Path(__file__).resolve().parents[3] / "deploy/crds"
PATIENCE = 30.0


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    runtime = Runtime(tmp_path_factory.mktemp("runtime") / "data").start()
    yield runtime
    runtime.stop()


@pytest.fixture
def api(new_api: Callable[..., FakeAPI]) -> FakeAPI:
    api = new_api(crds=CRDS)
    for name in ("bank", "rival"):
        api.namespace(name, {"casa.io/injection": "enabled"})
    return api


@pytest.fixture
def new_controller(api: FakeAPI, runtime: Runtime, tmp_path: Path) -> Iterator[Callable[..., Controller]]:
    made: list[Controller] = []

    def make(*arguments: str, **rest: Any) -> Controller:
        made.append(Controller(api, runtime, tmp_path, arguments=list(arguments), **rest).start())
        return made[-1]

    yield make
    for controller in made:
        if controller.process is not None:
            controller.kill()
    # The runtime serves all tests: each begins without systems.
    for found in runtime.admin("GET", "/apps")["apps"]:
        runtime.admin("DELETE", f"/apps/{found['id']}", status=204)
    for found in runtime.admin("GET", "/mas")["mas"]:
        runtime.admin("DELETE", f"/mas/{found['id']}", status=204)


@pytest.fixture
def controller(new_controller: Callable[..., Controller]) -> Controller:
    return new_controller()


def registered(runtime: Runtime, name: str) -> dict[str, Any] | None:
    """A system at the runtime, with its apps by name."""
    found = next((mas for mas in runtime.admin("GET", "/mas")["mas"] if mas["name"] == name), None)
    if found is None:
        return None
    apps = runtime.admin("GET", f"/apps?mas_id={found['id']}")["apps"]
    return {**found, "apps": {one["name"]: one for one in apps}}


def wait_for_phase(api: FakeAPI, expected: str, name: str, namespace: str = "bank", plural: str = "multiagentsystems") -> Any:
    def find() -> Any:
        found = api.get(plural, name, namespace)
        generation = ((found or {}).get("status") or {}).get("observedGeneration")
        is_current = found is not None and generation == found["metadata"]["generation"]
        return found if is_current and phase(found) == expected else None

    return wait_until(find, f"{plural} {name} is {expected}", PATIENCE)


def declare_bank(api: FakeAPI, **spec: Any) -> None:
    api.create("casapolicies", policy("web", "bank", ("agent", 8080)))
    api.create("casapolicies", policy("agent", "bank", ("bank", 8101)))
    api.create("casapolicies", policy("bank", "bank"))
    api.create("multiagentsystems", system("banking", "bank", **spec))


def is_known(runtime: Runtime, secret: dict[str, Any]) -> bool:
    """Whether the runtime takes the credentials in a workload's Secret."""
    workload = json.loads(secret_text(secret, "workload.yaml"))
    answer = httpx.get(
        runtime.url + "/apps/self", auth=(workload["client_id"], secret_text(secret, "client-secret")), trust_env=False
    )
    return answer.status_code == 200


def are_secrets_good(api: FakeAPI, runtime: Runtime) -> bool:
    secrets = [secret for secret in api.all("secrets") if secret["metadata"]["name"].startswith("casa-workload-")]
    return bool(secrets) and all(is_known(runtime, secret) for secret in secrets)


class TestOneSystem:
    def test_it_is_registered_and_guarded_and_gets_credentials(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        made = wait_for_phase(api, "Active", "banking")
        assert made["metadata"]["finalizers"] == ["casa.io/runtime-registration"]
        assert made["status"]["lastSyncTime"] and reason(made) == "InForce" and reason(made, "Degraded") == "AsExpected"
        known = registered(runtime, "banking")
        assert known is not None and known["owner"].endswith(f":bank/banking:{made['metadata']['uid']}")
        assert {name: one["kind"] for name, one in known["apps"].items()} == {
            "web": "client", "agent": "agent", "bank": "mcp_server",
        }  # fmt: skip
        assert known["apps"]["bank"]["base_url"] == "http://bank.bank.svc.cluster.local:8101/mcp"
        assert {app["name"]: app["id"] for app in made["status"]["apps"]} == {
            name: one["id"] for name, one in known["apps"].items()
        }
        for workload in ("web", "agent", "bank"):
            secret = api.get("secrets", f"casa-workload-{workload}", "bank")
            assert secret is not None and is_known(runtime, secret)
            assert secret["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
            assert api.get("networkpolicies", f"casa-workload-{workload}", "bank") is not None
            assert api.get("ciliumnetworkpolicies", f"casa-workload-{workload}", "bank") is not None
            wait_for_phase(api, "Active", workload, plural="casapolicies")
        agent = json.loads(secret_text(api.get("secrets", "casa-workload-agent", "bank") or {}, "workload.yaml"))
        assert [way["destination"] for way in agent["egress"]] == ["bank"]

    def test_at_rest_nothing_is_written(self, api: FakeAPI, controller: Controller) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        wait_until(lambda: settled(api, controller), "nothing is written any more", PATIENCE)

    def test_deleting_it_has_the_runtime_forget_it_and_takes_all_along(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        api.delete("multiagentsystems", "banking", "bank")
        wait_until(lambda: api.get("multiagentsystems", "banking", "bank") is None, "the object is gone", PATIENCE)
        assert registered(runtime, "banking") is None
        for plural in ("secrets", "networkpolicies", "ciliumnetworkpolicies"):
            wait_until(
                lambda plural=plural: not [one for one in api.all(plural) if one["metadata"]["namespace"] == "bank"],
                f"the {plural} are gone", PATIENCE,
            )  # fmt: skip

    def test_an_app_that_is_taken_out_loses_its_credentials(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        known = registered(runtime, "banking")
        lost = api.get("secrets", "casa-workload-bank", "bank")
        assert known is not None and lost is not None
        change(api, "banking", lambda spec: spec["apps"].pop())
        wait_until(lambda: api.get("secrets", "casa-workload-bank", "bank") is None, "its Secret is gone", PATIENCE)
        wait_until(lambda: api.get("networkpolicies", "casa-workload-bank", "bank") is None, "its policy", PATIENCE)
        after = registered(runtime, "banking")
        assert after is not None and set(after["apps"]) == {"web", "agent"} and after["id"] == known["id"]
        assert after["apps"]["agent"]["id"] == known["apps"]["agent"]["id"]
        assert not is_known(runtime, lost)

    def test_changed_settings_reach_the_runtime(self, api: FakeAPI, runtime: Runtime, controller: Controller) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")

        def enable(spec: Any) -> None:
            spec["enabledToolChecks"] = ["ARGUMENT_GROUNDING"]
            spec["intent"] = {"maximum_near_misses": 3}

        change(api, "banking", enable)
        wait_until(
            lambda: (registered(runtime, "banking") or {})["enabled_tool_checks"] == ["ARGUMENT_GROUNDING"],
            "the checks are switched", PATIENCE,
        )  # fmt: skip
        assert (registered(runtime, "banking") or {})["intent"]["maximum_near_misses"] == 3

    def test_the_llm_s_key_is_copied_for_the_sidecar_and_its_absence_said(
        self, api: FakeAPI, controller: Controller
    ) -> None:
        declare_bank(api, llm_host="api.openai.com", llm={"apiKeySecret": {"name": "llm", "key": "k"}})
        endpoint = {"fqdn": "api.openai.com", "port": 443}
        change(api, "agent", lambda spec: spec.update(llmEndpoint=endpoint), plural="casapolicies")
        failed = wait_for_phase(api, "Failed", "banking")
        assert "llm" in failed["status"]["message"] and reason(failed) == "InvalidSpec"
        key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "llm"}, "data": {"k": base64.b64encode(b"sk-1").decode()}}
        api.create("secrets", key, "bank")
        change(api, "banking", lambda spec: spec.update(allowUndecided=True))
        wait_for_phase(api, "Active", "banking")
        assert secret_text(api.get("secrets", "casa-workload-agent", "bank") or {}, "llm-api-key") == "sk-1"
        assert "llm-api-key" not in (api.get("secrets", "casa-workload-bank", "bank") or {})["data"]
        assert "sk-1" not in controller.log.read_text()


def change(
    api: FakeAPI, name: str, edit: Callable[[Any], Any], namespace: str = "bank", plural: str = "multiagentsystems"
) -> None:
    """Changes an object's spec, as somebody with kubectl would."""

    def act(server: Any) -> None:
        resource = server.find(plural)
        found = json.loads(json.dumps(resource.objects[(namespace, name)].obj))
        edit(found["spec"])
        server.update(resource, (namespace, name), found)

    api.call(act)


def settled(api: FakeAPI, controller: Controller) -> bool:
    """Whether nothing was written while all was looked at twice."""
    before, runs = writes(api), controller.reconciliations()
    wait_until(lambda: controller.reconciliations() >= runs + 4, "all was looked at again", PATIENCE)
    return writes(api) == before


class TestDrift:
    @pytest.mark.parametrize("plural", ["networkpolicies", "ciliumnetworkpolicies"])
    def test_what_somebody_deletes_or_changes_is_set_right(
        self, api: FakeAPI, controller: Controller, plural: str
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        good = api.get(plural, "casa-workload-agent", "bank")
        assert good is not None
        api.delete(plural, "casa-workload-agent", "bank")
        wait_until(lambda: api.get(plural, "casa-workload-agent", "bank"), "it is there again", PATIENCE)
        made = json.loads(json.dumps(api.get(plural, "casa-workload-agent", "bank")))
        made["spec"]["egress"] = [{}]
        api.update(plural, made)
        wait_until(
            lambda: (api.get(plural, "casa-workload-agent", "bank") or {})["spec"] == good["spec"], "it is right", PATIENCE
        )

    def test_a_lost_secret_comes_back_with_credentials_that_work(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        api.delete("secrets", "casa-workload-agent", "bank")
        # It may not list Secrets, so it looks at each every ten comparisons.
        wait_until(lambda: api.get("secrets", "casa-workload-agent", "bank"), "it is there again", PATIENCE)
        assert is_known(runtime, api.get("secrets", "casa-workload-agent", "bank") or {})

    def test_what_was_changed_at_the_runtime_by_hand_is_set_right(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        known = registered(runtime, "banking")
        assert known is not None
        runtime.admin("PUT", f"/mas/{known['id']}", {"enabled_tool_checks": [], "allow_undecided": True})
        runtime.admin("DELETE", f"/apps/{known['apps']['agent']['id']}", status=204)

        def is_right() -> bool:
            after = registered(runtime, "banking")
            return after is not None and "agent" in after["apps"] and after["enabled_tool_checks"] == known["enabled_tool_checks"]

        wait_until(is_right, "the runtime is as declared", PATIENCE)
        wait_until(lambda: are_secrets_good(api, runtime), "all credentials work", PATIENCE)


class TestWhoMay:
    @pytest.mark.attack(40, "a system of elsewhere takes a system's name", layer="cluster")
    def test_a_name_belongs_to_who_was_there_first(self, api: FakeAPI, runtime: Runtime, controller: Controller) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        known = registered(runtime, "banking")
        api.create("multiagentsystems", system("other", "rival") | {"spec": {**system("other", "rival")["spec"], "name": "Banking"}})
        failed = wait_for_phase(api, "Failed", "other", "rival")
        assert reason(failed) == "NameTaken" and "bank/" not in failed["status"]["message"]

        def told() -> list[tuple[str, str]]:
            events = [event for event in api.all("events") if event["involvedObject"]["name"] == "other"]
            return [(event["type"], event["reason"]) for event in events]

        wait_until(told, "an Event tells of it", PATIENCE)
        assert told() == [("Warning", "NameTaken")]
        assert registered(runtime, "banking") == known
        assert not [secret for secret in api.all("secrets") if secret["metadata"]["namespace"] == "rival"]

    def test_a_name_that_was_registered_by_hand_is_left_alone(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        by_hand = runtime.admin("POST", "/mas", {"name": "banking"}, status=201)
        declare_bank(api)
        assert reason(wait_for_phase(api, "Failed", "banking")) == "NameTaken"
        assert registered(runtime, "banking") == {**by_hand, "apps": {}}

    @pytest.mark.attack(40, "a system and a policy of elsewhere name a workload", layer="cluster")
    def test_attack_40_no_object_speaks_of_another_namespace_s_workload(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        before = {name: api.get("secrets", name, "bank") for name in ("casa-workload-agent", "casa-workload-bank")}
        # A policy for a workload of the bank's, from elsewhere; and a system that leads to the bank's Services.
        api.create("casapolicies", policy("agent", "rival", ("bank", 8101)))
        stealing = [app("agent", "agent"), {**app("bank", "mcp_server"), "baseUrl": {"scheme": "http", "host": "bank.bank:8101"}}]
        try:
            api.create("multiagentsystems", system("stealing", "rival", stealing))
        except Exception as refusal:  # noqa: BLE001 - the API server may refuse it as well
            assert "host" in str(refusal)
        else:
            assert reason(wait_for_phase(api, "Failed", "stealing", "rival")) == "InvalidSpec"
        pending = wait_for_phase(api, "Pending", "agent", "rival", "casapolicies")
        assert reason(pending) == "TargetUnknown"
        assert registered(runtime, "stealing") is None
        assert not [secret for secret in api.all("secrets") if secret["metadata"]["namespace"] == "rival"]
        assert before == {name: api.get("secrets", name, "bank") for name in before}

    def test_a_second_policy_of_a_workload_widens_nothing(self, api: FakeAPI, controller: Controller) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        api.create("casapolicies", policy("web", "bank", ("bank", 8101), name="z-wide"))
        assert reason(wait_for_phase(api, "Failed", "z-wide", plural="casapolicies")) == "TargetTaken"
        web = json.loads(secret_text(api.get("secrets", "casa-workload-web", "bank") or {}, "workload.yaml"))
        assert [way["destination"] for way in web["egress"]] == ["agent"]

    def test_without_a_policy_an_app_reaches_nothing_and_it_is_said(self, api: FakeAPI, controller: Controller) -> None:
        api.create("multiagentsystems", system("banking", "bank"))
        made = wait_for_phase(api, "Active", "banking")
        assert reason(made, "Degraded") == "NoPolicy"
        agent = json.loads(secret_text(api.get("secrets", "casa-workload-agent", "bank") or {}, "workload.yaml"))
        assert "egress" not in agent


class TestTrouble:
    def test_what_a_killed_controller_left_the_next_one_finishes(
        self, api: FakeAPI, runtime: Runtime, new_controller: Callable[..., Controller]
    ) -> None:
        # Each write is carried out, and its answer lost: the process dies between the two.
        for resource in ("multiagentsystems", "networkpolicies", "secrets"):
            api.add_fault("delay", resource=resource, seconds=0.2)
        declare_bank(api)
        for number in range(6):
            controller = new_controller(identity="same")
            time.sleep(0.25 * number)  # Another moment each time; whatever is under way is cut off.
            controller.kill()
        api.clear_faults()
        new_controller(identity="same")
        wait_for_phase(api, "Active", "banking")
        wait_until(lambda: are_secrets_good(api, runtime), "all credentials work", PATIENCE)
        assert len(runtime.admin("GET", "/mas")["mas"]) == 1 and len(runtime.admin("GET", "/apps")["apps"]) == 3

    def test_while_the_api_server_is_away_nothing_ends_and_afterwards_all_goes_on(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        declare_bank(api)
        wait_for_phase(api, "Active", "banking")
        api.down()
        runtime.admin("POST", "/mas", {"name": "unrelated"}, status=201)
        time.sleep(1)
        assert registered(runtime, "banking") is not None
        api.up()
        api.create("multiagentsystems", system("second", "rival"))
        wait_for_phase(api, "Active", "second", "rival")

    def test_systems_that_are_gone_from_the_cluster_are_forgotten_and_others_are_not(
        self, api: FakeAPI, runtime: Runtime, controller: Controller
    ) -> None:
        cluster = next(one["metadata"]["uid"] for one in api.all("namespaces") if one["metadata"]["name"] == "kube-system")
        runtime.admin("POST", "/mas", {"name": "orphan", "owner": f"kubernetes:{cluster}:bank/orphan:gone"}, status=201)
        runtime.admin("POST", "/mas", {"name": "elsewhere", "owner": "kubernetes:another:bank/orphan:gone"}, status=201)
        wait_until(lambda: registered(runtime, "orphan") is None, "the orphan is forgotten", PATIENCE)
        assert registered(runtime, "elsewhere") is not None

    def test_ready_pods_are_counted(self, api: FakeAPI, controller: Controller) -> None:
        declare_bank(api)
        assert wait_for_phase(api, "Active", "banking")["status"]["appsReady"] == 0
        pod = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "agent-1", "labels": {"casa.io/workload": "agent"}},
            "spec": {"containers": [{"name": "app", "image": "i"}]},
        }  # fmt: skip
        made = api.create("pods", pod, "bank")
        api.update("pods", {**made, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "status")
        wait_until(
            lambda: (api.get("multiagentsystems", "banking", "bank") or {})["status"]["appsReady"] == 1, "it counts", PATIENCE
        )
        api.delete("pods", "agent-1", "bank")
        wait_until(
            lambda: (api.get("multiagentsystems", "banking", "bank") or {})["status"]["appsReady"] == 0, "no more", PATIENCE
        )


def test_the_webhooks_get_a_certificate_that_the_api_server_can_verify(
    api: FakeAPI, new_controller: Callable[..., Controller], tmp_path: Path
) -> None:
    for plural, kind in (
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
        ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    ):
        hook = {
            "name": "pods.casa.io", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "casa-injector", "namespace": "casa-system"}},
        }  # fmt: skip
        api.create(plural, {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "casa-injector"}, "webhooks": [hook]})
    new_controller()

    def bundle(plural: str) -> str | None:
        found = api.get(plural, "casa-injector")
        return found["webhooks"][0]["clientConfig"].get("caBundle") if found else None

    wait_until(lambda: bundle("mutatingwebhookconfigurations") and bundle("validatingwebhookconfigurations"), "caBundle", PATIENCE)
    serving = wait_until(lambda: api.get("secrets", "casa-injector-tls", "casa-system"), "the certificate", PATIENCE)
    authority = base64.b64decode(bundle("validatingwebhookconfigurations") or "").decode()
    # As the API server does it: by name, against the bundle.
    (tmp_path / "tls.crt").write_text(secret_text(serving, "tls.crt"))
    (tmp_path / "tls.key").write_text(secret_text(serving, "tls.key"))
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=authority)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname="casa-injector.casa-system.svc")
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ours.version() == "TLSv1.3"


def test_the_crds_of_the_chart_are_those_that_were_tested() -> None:
    names = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in CRDS.glob("*.casa.io.yaml")}
    assert names == {"multiagentsystems.casa.io", "casapolicies.casa.io"}
