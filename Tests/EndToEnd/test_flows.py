"""What nodes saw is in the trace, once, joined to its session; a token that goes astray raises an alert."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from casa_runtime import App, Cast, Json, Node, Runtime, token_of

NewNode = Callable[[], Node]
FLOW_KINDS = ["flow_opened", "flow_closed", "flow_refused", "token_seen", "workload_left", "flows_lost"]
ELSEWHERE = "203.0.113.9:443"


@pytest.fixture(scope="module")
def new_node(runtime: Runtime) -> NewNode:
    numbers = itertools.count(1)
    return lambda: runtime.create_node(f"worker-{next(numbers)}.example")


@pytest.fixture(scope="module")
def node(new_node: NewNode) -> Node:
    return new_node()


_ids = itertools.count(1)


def flow(kind: str = "flow_opened", **more: object) -> Json:
    """A report, of an id of its own unless told otherwise."""
    made: Json = {"kind": kind, "id": f"boot:{next(_ids)}", "at": int(time.time() * 1000), "workload": "shop/agent-0"}
    if kind == "token_seen":
        made |= {"token_sha256": sha256("none of ours"), "direction": "outbound"}
    return made | more


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def seen(token: str, sender: App, remote: str = ELSEWHERE, peer: App | None = None, **more: object) -> Json:
    """A token that a workload sends."""
    named = {"peer_app_id": peer.id} if peer else {}
    return flow("token_seen", token_sha256=sha256(token), app_id=sender.id, remote=remote, **named, **more)


def told_by(node: Node, kind: str | None = None) -> list[Json]:
    """The events that a node's reports became."""
    return [e for e in node.runtime.events(kind=kind) if e["payload"].get("node_id") == node.id]


def accepted(answer: httpx.Response) -> None:
    assert answer.status_code == 204, answer.text


class TestNodes:
    def test_a_node_is_registered_listed_and_deleted(self, runtime: Runtime) -> None:
        made = runtime.admin("POST", "/nodes", {"name": "ip-10-0-0-1.eu.internal"}, 201)
        assert set(made) == {"id", "name", "created_at", "client_secret"}
        shown = {name: made[name] for name in ("id", "name", "created_at")}
        assert runtime.admin("GET", f"/nodes/{made['id']}") == shown
        assert shown in runtime.admin("GET", "/nodes")["nodes"]
        runtime.admin("POST", "/nodes", {"name": "ip-10-0-0-1.eu.internal"}, 409)
        runtime.admin("DELETE", f"/nodes/{made['id']}", status=204)
        runtime.admin("GET", f"/nodes/{made['id']}", status=404)
        runtime.admin("DELETE", f"/nodes/{made['id']}", status=404)
        refused = Node(runtime, made["id"], made["name"], made["client_secret"]).report(flow())
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        changes = [e["payload"]["change"] for e in runtime.events(kind="configuration_changed")]
        assert changes[-2:] == ["node_created", "node_deleted"]

    @pytest.mark.parametrize("name", ["", "A", "a b", ".", "a..b", "a" * 64, 7, None])
    def test_a_name_is_that_of_a_machine(self, runtime: Runtime, name: object) -> None:
        answer = runtime.admin("POST", "/nodes", {"name": name}, 400)
        assert answer["errors"][0]["field"] == "name"

    def test_only_the_administrator_registers_nodes(self, runtime: Runtime, cast: Cast, node: Node) -> None:
        for auth in [None, (node.id, node.secret), (cast.agent.id, cast.agent.secret or "")]:
            for method, path in [("POST", "/nodes"), ("GET", "/nodes"), ("DELETE", f"/nodes/{node.id}")]:
                body = {"name": "x"} if method == "POST" else None
                answer = runtime.http.request(method, path, auth=auth, json=body)
                assert answer.status_code == 401, (method, path, auth)
        assert node.report(flow()).status_code == 204

    def test_a_secret_can_be_replaced(self, runtime: Runtime, new_node: NewNode) -> None:
        node = new_node()
        before = node.secret
        node.secret = runtime.admin("POST", f"/nodes/{node.id}/secret")["client_secret"]
        accepted(node.report(flow()))
        node.secret = before
        assert node.report(flow()).status_code == 401

    def test_a_node_gets_no_token_and_reads_nothing(self, cast: Cast, node: Node) -> None:
        as_app = App(cast.runtime, node.id, node.name, cast.mas, node.secret)
        t1 = cast.client.t1(audience="assistant")
        answers = [
            as_app.issue(),
            as_app.exchange(t1, "llm-access"),
            as_app.post("/oauth/introspect", {"token": t1}),
            as_app.revoke(t1),
            as_app.post("/oauth/token", {"grant_type": "client_credentials", "scope": "discover-tools", "audience": "bank"}),
            *(
                cast.runtime.http.get(path, auth=(node.id, node.secret))
                for path in ("/apps/self", "/oauth/revocations", "/trace/events", "/mas", "/user-inputs/inp_1")
            ),
        ]
        assert [answer.status_code for answer in answers] == [401] * len(answers)


class TestReports:
    @pytest.mark.parametrize("kind", FLOW_KINDS)
    def test_every_kind_is_an_event(self, cast: Cast, node: Node, kind: str) -> None:
        report = flow(kind, app_id=cast.agent.id, remote="[2001:db8::1]:443", reason="not_in_policy", bytes_out=3)
        accepted(node.report(report))
        event = told_by(node, kind)[-1]
        assert (event["app_id"], event["mas_id"]) == (cast.agent.id, cast.mas)
        wanted = {"workload": "shop/agent-0", "remote": "[2001:db8::1]:443", "reason": "not_in_policy", "bytes_out": 3}
        wanted |= {"report_id": report["id"], "node": node.name}
        assert {name: event["payload"].get(name) for name in wanted} == wanted

    def test_an_unknown_app_is_noted_and_not_refused(self, node: Node) -> None:
        accepted(node.report(flow("workload_left", app_id="app_nobody")))
        event = told_by(node, "workload_left")[-1]
        assert (event["app_id"], event["mas_id"]) == (None, None)
        assert event["payload"]["unknown_app_id"] == "app_nobody"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "llm_call"},
            {"kind": "token_exfiltration"},
            {"id": "a b"},
            {"id": "x" * 101},
            {"at": int(time.time() * 1000) + 3_600_000},
            {"at": int(time.time() * 1000) - 31 * 86_400_000},
            {"workload": "é"},
            {"remote": "example.com:443"},
            {"bytes_in": -1},
            {"app_id": None},
        ],
        ids=lambda wrong: ",".join(wrong),
    )
    def test_a_report_that_is_wrong_is_refused_by_name_with_its_batch(self, node: Node, wrong: Json) -> None:
        before = len(told_by(node))
        answer = node.report(flow(), flow() | wrong, flow())
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == f"events[1].{next(iter(wrong))}"
        assert len(told_by(node)) == before

    def test_a_batch_has_at_most_100_reports(self, node: Node) -> None:
        assert node.report(*(flow() for _ in range(101))).status_code == 400
        assert node.report().status_code == 400
        accepted(node.report(*(flow() for _ in range(100))))

    @pytest.mark.parametrize("kind", FLOW_KINDS)
    def test_an_app_reports_no_flows(self, cast: Cast, kind: str) -> None:
        answer = cast.agent.report(flow(kind))
        assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "events[0].kind"

    @pytest.mark.parametrize("kind", ["llm_call", "tool_result", "call_admitted", "call_refused"])
    def test_a_node_reports_nothing_of_apps(self, node: Node, kind: str) -> None:
        answer = node.report(flow() | {"kind": kind, "token": "x", "selections": [], "text": "", "reason": "token_spent"})
        assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "events[0].kind"

    @pytest.mark.parametrize("secret", ["", "cs_wrong"])
    def test_without_its_secret_a_node_is_nobody(self, runtime: Runtime, node: Node, secret: str) -> None:
        for auth in [(node.id, secret), ("node_nobody", node.secret), None]:
            answer = runtime.http.post("/trace/events", json={"events": [flow()]}, auth=auth)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


class TestDelivery:
    def test_what_comes_again_is_acknowledged_and_stored_once(self, new_node: NewNode) -> None:
        node = new_node()
        reports = [flow() for _ in range(30)]
        for batch in (reports[:20], reports[:20], reports[10:], reports[15:16] * 3):
            accepted(node.report(*batch))
        assert [e["payload"]["report_id"] for e in told_by(node)] == [r["id"] for r in reports]

    def test_what_comes_again_at_the_same_time_is_stored_once(self, new_node: NewNode, cast: Cast) -> None:
        node = new_node()
        token = cast.t3()
        reports = [flow() for _ in range(20)] + [seen(token, cast.agent) for _ in range(5)]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: node.report(*reports[n % 7 :]), range(64)))
        assert {answer.status_code for answer in answers} == {204}
        accepted(node.report(*reports))
        events = told_by(node)
        ids = [e["payload"]["report_id"] for e in events if e["kind"] != "token_exfiltration"]
        assert sorted(ids) == sorted(r["id"] for r in reports)
        assert len(events) == len(ids) + 1

    def test_what_was_acknowledged_outlives_the_process(self, new_runtime: Callable[..., Runtime]) -> None:
        runtime = new_runtime()
        node = runtime.create_node("worker-1")
        reports = [flow() for _ in range(50)]
        accepted(node.report(*reports))
        runtime.kill()
        runtime.start()
        accepted(node.report(*reports))
        assert len(told_by(node)) == 50


class TestTokens:
    def test_a_token_on_its_way_belongs_to_its_session(self, cast: Cast, node: Node) -> None:
        t1 = cast.client.t1(audience="assistant")
        session = cast.client.introspect(t1)
        accepted(
            node.report(
                seen(t1, cast.client, "10.0.0.2:8000", cast.agent, method="POST", path="/a2a"),
                seen(t1, cast.agent, "10.0.0.1:40000", cast.client, direction="inbound"),
            )
        )
        events = cast.runtime.events(session["user_input_id"], "token_seen")
        assert [event["trace_id"] for event in events] == [session["trace_id"]] * 2
        assert [event["payload"]["token_sha256"] for event in events] == [sha256(t1)] * 2
        assert cast.runtime.events(session["user_input_id"], "token_exfiltration") == []

    def test_tokens_that_go_where_they_were_issued_for_raise_no_alert(self, cast: Cast, node: Node) -> None:
        t1, arguments = cast.selected_call()
        onward = token_of(cast.agent.exchange(t1, "user-input", audience="planner"))
        listing = token_of(cast.agent.exchange(t1, "user-input", audience="bank"))
        t3 = token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments))
        discovery = token_of(
            cast.agent.post(
                "/oauth/token", {"grant_type": "client_credentials", "scope": "discover-tools", "audience": "bank"}
            )
        )
        before = len(told_by(node, "token_exfiltration"))
        accepted(
            node.report(
                seen(onward, cast.agent, peer=cast.second_agent),
                *(seen(token, cast.agent, peer=cast.bank) for token in (listing, t3, discovery)),
                seen(t3, cast.bank, peer=cast.agent, direction="inbound"),
            )
        )
        assert len(told_by(node, "token_exfiltration")) == before

    def test_a_token_seen_elsewhere_raises_one_alert_within_a_second(
        self, new_runtime: Callable[..., Runtime], new_cast: Callable[..., Cast]
    ) -> None:
        cast = new_cast(new_runtime())
        node = cast.runtime.create_node("worker-1")
        t3 = cast.t3()
        session = cast.agent.introspect(t3)
        start = time.monotonic()
        accepted(node.report(seen(t3, cast.agent, method="POST", path="/steal?t=1")))
        alerts = cast.runtime.events(session["user_input_id"], "token_exfiltration")
        assert time.monotonic() - start < 1
        for _ in range(3):
            accepted(node.report(seen(t3, cast.agent), seen(t3, cast.agent)))
        assert cast.runtime.events(kind="token_exfiltration") == alerts
        (alert,) = alerts
        assert (alert["app_id"], alert["mas_id"], alert["trace_id"]) == (cast.agent.id, cast.mas, session["trace_id"])
        wanted = {"token_sha256": sha256(t3), "remote": ELSEWHERE, "reason": "recipient_unknown", "scope": "call-tools"}
        wanted |= {"holder": cast.agent.id, "addressee": cast.bank.id, "node": "worker-1", "direction": "outbound"}
        assert {name: alert["payload"].get(name) for name in wanted} == wanted
        sentence = (
            f"a token of scope call-tools went from assistant to {ELSEWHERE}, "
            "but it may only go from assistant to bank: no app is known at that address"
        )
        assert alert["payload"]["explanation"] == sentence
        metrics = cast.runtime.http.get("/metrics").text
        assert 'casa_token_exfiltrations_total{reason="recipient_unknown"} 1\n' in metrics
        logged = [line for line in cast.runtime.logs.read_text().splitlines() if sentence in line]
        assert len(logged) == 1 and "warning" in logged[0].lower()
        assert sha256(t3)[:12] in logged[0] and sha256(t3)[:13] not in cast.runtime.logs.read_text()

    @pytest.mark.parametrize(
        ("way", "reason"),
        [
            ("T3 to another agent", "recipient_not_addressed"),
            ("T3 to another MAS", "recipient_foreign"),
            ("T3 from its server", "sender_not_holder"),
            ("T3 from nobody", "sender_unknown"),
            ("T3 that another MAS's app sends", "sender_foreign"),
            ("T2 to the LLM", "recipient_unknown"),
            ("T2 to an agent", "recipient_not_addressed"),
            ("T1 back to its client", "sender_not_holder"),
            ("T1 past the agent it is for", "recipient_not_addressed"),
        ],
    )
    def test_every_other_way_raises_an_alert(
        self, cast: Cast, new_cast: Callable[..., Cast], node: Node, way: str, reason: str
    ) -> None:
        t1, arguments = cast.selected_call()
        t2 = token_of(cast.agent.exchange(t1, "llm-access"))
        t3 = token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments))
        report = {
            "T3 to another agent": lambda: seen(t3, cast.agent, peer=cast.second_agent),
            "T3 to another MAS": lambda: seen(t3, cast.agent, peer=new_cast().bank),
            "T3 from its server": lambda: seen(t3, cast.bank, peer=cast.agent),
            "T3 from nobody": lambda: seen(t3, cast.bank, direction="inbound"),
            "T3 that another MAS's app sends": lambda: seen(t3, new_cast().agent, peer=cast.bank),
            "T2 to the LLM": lambda: seen(t2, cast.agent),
            "T2 to an agent": lambda: seen(t2, cast.agent, peer=cast.second_agent),
            "T1 back to its client": lambda: seen(t1, cast.agent, peer=cast.client),
            "T1 past the agent it is for": lambda: seen(t1, cast.client, peer=cast.second_agent),
        }[way]()
        accepted(node.report(report))
        alerts = [e["payload"] for e in told_by(node, "token_exfiltration") if e["payload"]["report_id"] == report["id"]]
        assert [alert["reason"] for alert in alerts] == [reason]

    def test_what_was_never_issued_is_stored_and_raises_no_alert(self, cast: Cast, node: Node) -> None:
        before = len(told_by(node, "token_exfiltration"))
        accepted(node.report(seen("sk-some-key-of-an-llm", cast.agent)))
        event = told_by(node, "token_seen")[-1]
        assert event["user_input_id"] is None and event["payload"]["token_sha256"] == sha256("sk-some-key-of-an-llm")
        assert len(told_by(node, "token_exfiltration")) == before
