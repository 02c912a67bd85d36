"""Sessions are told whole, live and by filter, to whoever may read them, over HTTP and in a terminal."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from casa_runtime import ROOT, Cast, Json, Runtime, binary, sha256_of, token_of, wait_until
from casa_stack import Stack
from test_flows import flow, seen

_numbers = itertools.count(1)


class Reader:
    """Somebody who may read traces."""

    def __init__(self, runtime: Runtime, **settings: object) -> None:
        self.runtime = runtime
        made = runtime.admin("POST", "/readers", {"name": f"reader-{next(_numbers)}", **settings}, 201)
        self.id: str = made["id"]
        self.credential: str = made["credential"]
        self.headers = {"Authorization": f"Bearer {self.credential}"}

    def get(self, path: str, status: int = 200, **parameters: str) -> Json:
        answer = self.runtime.http.get(path, params=parameters, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def reader(runtime: Runtime) -> Reader:
    return Reader(runtime, reads_prompts=True)


def session_of(cast: Cast, token: str) -> str:
    return str(cast.client.introspect(token)["user_input_id"])


def told(reader: Reader, session: str, until: Callable[[Json], bool] = lambda _: True) -> Json:
    """The session as soon as it is told as `until` wants it."""

    def find() -> Json | None:
        answer = reader.runtime.http.get(f"/trace/sessions/{session}", headers=reader.headers)
        return answer.json() if answer.status_code == 200 and until(answer.json()) else None

    return wait_until(find, f"the session {session} is told")


@pytest.fixture(scope="module")
def call(runtime: Runtime, cast: Cast) -> Json:
    """A call that passed and its replay that did not, with what the kernel saw."""
    t1, arguments = cast.selected_call(prompt="What is my balance, Zanzibar?")
    t3 = token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments))
    assert cast.bank.is_active(t3)
    node = runtime.create_node("traces.example")
    connection = {"flow": "1", "app_id": cast.agent.id, "direction": "outbound", "remote": "192.0.2.7:80"}
    assert node.report(
        flow("flow_closed", **connection, bytes_out=10, bytes_in=20),
        seen(t3, cast.agent, remote="192.0.2.7:80", peer=cast.bank, flow="1"),
        flow("flow_opened", **connection),
    ).is_success
    assert cast.bank.spend(t3).is_success
    assert cast.bank.spend(t3).status_code == 403
    return {"session": session_of(cast, t1), "t1": sha256_of(t1), "t3": sha256_of(t3)}


class TestASession:
    def test_is_told_whole(self, reader: Reader, call: Json) -> None:
        whole = told(reader, call["session"], lambda s: s["flows"] and s["session"]["refused"] == 1)
        assert whole["session"]["prompt"] == "What is my balance, Zanzibar?"
        assert whole["session"]["reasons"] == ["token_spent"]
        assert whole["session"]["tools"] == [Cast.TOOL]
        kinds = [event["kind"] for event in whole["events"]]
        for kind in (
            "user_input_received", "token_issued", "token_exchanged", "llm_call", "token_introspected", "token_seen",
            "token_spent", "spend_refused",
        ):
            assert kind in kinds, kind
        assert [e["sequence"] for e in whole["events"]] == sorted(e["sequence"] for e in whole["events"])
        decision = next(e["payload"]["decision"] for e in whole["events"] if "decision" in e["payload"])
        assert {c["check"] for c in decision["checks"]} >= {"DETERMINISTIC_TOOL_SELECTED"}
        assert all(c["explanation"] for c in decision["checks"])
        (flow_told,) = whole["flows"]
        assert flow_told["opened_at"] and flow_told["closed_at"]
        assert (flow_told["bytes_out"], flow_told["bytes_in"]) == (10, 20)
        assert [t["sha256"] for t in flow_told["tokens"]] == [call["t3"]]
        tokens = {token["sha256"]: token for token in whole["tokens"]}
        t3 = tokens[call["t3"]]
        assert (t3["scope"], t3["tool"], t3["sightings"]) == ("call-tools", Cast.TOOL, 1)
        assert t3["spent_at"]
        parent = t3["parent_sha256"]
        while tokens[parent]["parent_sha256"]:
            parent = tokens[parent]["parent_sha256"]
        assert tokens[parent]["scope"] == "user-input"

    def test_of_the_real_runtime_holds_no_token(self, runtime: Runtime, reader: Reader, call: Json) -> None:
        text = json.dumps(told(reader, call["session"]))
        assert "eyJ" not in text and "cs_" not in text

    def test_is_found_by_each_filter(self, reader: Reader, call: Json, cast: Cast) -> None:
        told(reader, call["session"], lambda s: s["session"]["refused"] == 1)
        for filters in (
            {"mas_id": cast.mas}, {"app_id": cast.bank.id}, {"tool": Cast.TOOL}, {"verdict": "refused"},
            {"reason": "token_spent"}, {"text": "balance zanzibar"},
            {"mas_id": cast.mas, "tool": Cast.TOOL, "verdict": "refused", "text": "zanzibar"},
        ):
            found = reader.get("/trace/sessions", **filters)["sessions"]
            assert call["session"] in [s["id"] for s in found], filters
        for filters in ({"verdict": "allowed"}, {"tool": "none"}, {"text": "zanzibarx"}, {"to": "2026-01-01T00:00:00Z"}):
            found = reader.get("/trace/sessions", **filters)["sessions"]
            assert call["session"] not in [s["id"] for s in found], filters

    def test_is_found_by_what_belongs_to_it(self, reader: Reader, call: Json) -> None:
        told(reader, call["session"], lambda s: s["session"]["refused"] == 1)
        for text in (call["session"], call["t1"], call["t3"], "Zanzibar"):
            found = reader.get("/trace/search", q=text)["sessions"]
            assert call["session"] in [s["id"] for s in found], text

    def test_is_in_the_figures_and_the_graph(self, reader: Reader, call: Json, cast: Cast) -> None:
        told(reader, call["session"], lambda s: s["session"]["refused"] == 1)
        figures = reader.get("/trace/statistics", mas_id=cast.mas)
        assert figures["totals"]["refused"] >= 1
        assert {"reason": "token_spent"}.items() <= next(
            r for r in figures["reasons"] if r["reason"] == "token_spent"
        ).items()
        assert sum(column["refused"] for column in figures["calls"]) == figures["totals"]["refused"]
        assert {c["check"] for c in figures["checks"]} >= {"DETERMINISTIC_TOOL_SELECTED"}
        assert {app["name"] for app in reader.get("/trace/graph", mas_id=cast.mas)["apps"]} >= {"bank"}


class TestAReader:
    def test_reads_only_its_systems_and_prompts_only_with_the_right(
        self, runtime: Runtime, cast: Cast, reader: Reader, call: Json
    ) -> None:
        other = Reader(runtime, mas_ids=[runtime.create_mas(f"other-{next(_numbers)}")], reads_prompts=True)
        same = Reader(runtime, mas_ids=[cast.mas])
        whole = told(reader, call["session"])
        assert other.get("/trace/sessions")["sessions"] == []
        other.get(f"/trace/sessions/{call['session']}", 404)
        assert other.get("/trace/events", session=call["session"])["events"] == []
        assert other.get("/trace/search", q=call["t3"]) == {"sessions": [], "tokens": [], "systems": [], "apps": []}
        assert other.get("/trace/statistics")["totals"]["sessions"] == 0
        assert other.get("/trace/statistics", mas_id=cast.mas)["totals"]["sessions"] == 0
        assert other.get("/trace/graph", mas_id=cast.mas)["edges"] == []
        exported = runtime.http.get("/trace/export", headers=other.headers)
        assert call["session"] not in exported.text
        seen = same.get(f"/trace/sessions/{call['session']}")
        assert seen["session"]["prompt"] is None
        assert len(seen["events"]) == len(whole["events"])
        same.get("/trace/sessions", 400, text="zanzibar")

    def test_may_do_nothing_else(self, runtime: Runtime, reader: Reader) -> None:
        for method, path in (
            ("GET", "/mas"), ("POST", "/mas"), ("GET", "/readers"), ("POST", "/readers"), ("DELETE", "/trace/events"),
            ("GET", "/user-inputs/inp_1"), ("POST", "/keys/rotate"), ("GET", "/nodes"), ("POST", "/oauth/token"),
        ):
            answer = runtime.http.request(
                method, path, headers=reader.headers | {"content-type": "application/json"}, content=b"{}"
            )
            assert answer.status_code in (401, 415), (method, path, answer.status_code)

    def test_is_refused_when_it_was_deleted_or_never_was(self, runtime: Runtime) -> None:
        gone = Reader(runtime)
        gone.get("/trace/sessions")
        runtime.admin("DELETE", f"/readers/{gone.id}", status=204)
        gone.get("/trace/sessions", 401)
        for credential in ("x", gone.id + ".", gone.id + ".cs_x", ".cs_x", "a" * 10_000, "admin.x"):
            answer = runtime.http.get("/trace/sessions", headers={"Authorization": f"Bearer {credential}"})
            assert answer.status_code == 401
        assert runtime.http.get("/trace/sessions").status_code == 401
        assert runtime.http.get("/trace/live").status_code == 401

    def test_is_made_of_what_is_known(self, runtime: Runtime) -> None:
        runtime.admin("POST", "/readers", {"name": "x y"}, 400)
        runtime.admin("POST", "/readers", {"name": "r-unknown-mas", "mas_ids": ["mas_none"]}, 404)
        runtime.admin("POST", "/readers", {"name": "r-bad", "mas_ids": "all"}, 400)
        runtime.admin("POST", "/readers", {"name": "r-bad", "reads_prompts": "yes"}, 400)


class TestTheLiveStream:
    @staticmethod
    def read(runtime: Runtime, headers: dict[str, str], count: int, **parameters: str) -> list[Json]:
        events: list[Json] = []
        with (
            runtime.client() as client,
            client.stream("GET", "/trace/live", params=parameters, headers=headers) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream"
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line[6:]))
                if len(events) == count:
                    return events
        raise AssertionError("the stream ended")

    def test_tells_what_happens_and_resumes_where_it_ended(self, runtime: Runtime, cast: Cast, reader: Reader) -> None:
        first = session_of(cast, cast.client.t1("first"))
        start = reader.get("/trace/events", session=first)["events"][0]["sequence"] - 1
        received: list[Json] = []
        listener = threading.Thread(
            target=lambda: received.extend(self.read(runtime, reader.headers, 4, mas_id=cast.mas, after=str(start)))
        )
        listener.start()
        cast.client.t1("second")
        listener.join(10)
        assert [e["kind"] for e in received if e["kind"] != "token_introspected"][:2] == [
            "user_input_received", "token_issued",
        ]
        resumed = self.read(
            runtime, reader.headers | {"Last-Event-ID": str(received[1]["sequence"])}, 2, mas_id=cast.mas
        )
        assert [e["sequence"] for e in resumed] == [e["sequence"] for e in received[2:4]]

    def test_filters(self, runtime: Runtime, cast: Cast, reader: Reader) -> None:
        session = session_of(cast, cast.client.t1("filtered"))
        (event,) = self.read(runtime, reader.headers, 1, session=session, kind="token_issued", after="0")
        assert (event["user_input_id"], event["kind"]) == (session, "token_issued")

    def test_ends_with_the_runtime_and_does_not_hold_it_up(self, tmp_path: Path) -> None:
        runtime = Runtime(tmp_path / "data").start()
        try:
            with (
                runtime.client() as client,
                client.stream("GET", "/trace/live", headers=runtime.admin_headers) as answer,
            ):
                lines = answer.iter_lines()
                assert next(lines).startswith("retry")
                runtime.terminate()
                for _ in lines:
                    pass
            assert runtime.wait(10) == 0
        finally:
            runtime.discard()

    def test_ends_when_its_reader_is_deleted(self, runtime: Runtime) -> None:
        reader = Reader(runtime)
        with (
            httpx.Client(base_url=runtime.url, timeout=20, trust_env=False) as client,
            client.stream("GET", "/trace/live", headers=reader.headers) as answer,
        ):
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            runtime.admin("DELETE", f"/readers/{reader.id}", status=204)
            assert not [line for line in lines if line.startswith("data:")]

    @pytest.mark.parametrize("place", ["x", "-1", "99999999999999999999", ""])
    def test_takes_no_other_place(self, runtime: Runtime, reader: Reader, place: str) -> None:
        answer = runtime.http.get("/trace/live", headers=reader.headers | {"Last-Event-ID": place})
        assert answer.status_code == 400


class TestExhaustion:
    """Part of attack 44: whoever may read can't use the runtime up."""

    def test_live_streams_are_bounded_and_come_free(self, tmp_path: Path) -> None:
        runtime = Runtime(tmp_path / "data").start()
        sockets: list[socket.socket] = []

        def statuses() -> Counter[str]:
            return Counter(sent.makefile("rb").readline().decode().strip() for sent in sockets)

        try:
            request = (
                f"GET /trace/live HTTP/1.1\r\nHost: 127.0.0.1:{runtime.port}\r\n"
                f"Authorization: Bearer {runtime.admin_secret}\r\n\r\n"
            )
            for _ in range(300):
                sent = socket.create_connection(("127.0.0.1", runtime.port), timeout=20)
                sent.sendall(request.encode())
                sockets.append(sent)
            assert statuses() == {"HTTP/1.1 200 OK": 256, "HTTP/1.1 503 Service Unavailable": 44}
            # Nobody reads them, and others are answered all the same.
            assert runtime.http.get("/trace/sessions", headers=runtime.admin_headers).status_code == 200
            for sent in sockets:
                sent.close()

            def is_free() -> bool:
                # A stream notices that nobody is there when it has something to say.
                runtime.create_mas(f"new-{time.monotonic_ns()}")
                with (
                    runtime.client() as client,
                    client.stream("GET", "/trace/live", headers=runtime.admin_headers) as answer,
                ):
                    return answer.status_code == 200

            wait_until(is_free, "a stream is free again", 30)
        finally:
            runtime.discard()


class TestABrowser:
    @staticmethod
    def sign_in(runtime: Runtime, credential: str, **headers: str) -> httpx.Response:
        return runtime.http.post(
            "/explorer/sign-in", data={"credential": credential}, headers={"Sec-Fetch-Site": "same-origin"} | headers
        )

    def test_signs_in_with_a_credential_and_reads_what_its_owner_may(
        self, runtime: Runtime, cast: Cast, call: Json
    ) -> None:
        same = Reader(runtime, mas_ids=[cast.mas])
        told(same, call["session"])
        with runtime.client() as browser:
            assert browser.get("/explorer/sessions").status_code in (302, 303)
            answer = self.sign_in(runtime, same.credential)
            assert answer.status_code == 303, answer.text
            cookie = answer.headers["set-cookie"]
            for attribute in ("HttpOnly", "SameSite=Strict", "Path=/"):
                assert attribute in cookie
            value = cookie.split(";")[0]
            assert same.credential not in cookie and "cs_" not in cookie
            page = browser.get(f"/explorer/sessions/{call['session']}", headers={"Cookie": value})
            assert page.status_code == 200
            assert "Zanzibar" not in page.text
            assert call["t3"] in page.text
            assert browser.get("/trace/sessions", headers={"Cookie": value}).status_code == 200
            for site in ("cross-site", "same-site"):
                stolen = {"Cookie": value, "Sec-Fetch-Site": site}
                assert browser.get("/trace/sessions", headers=stolen).status_code == 401, site
            # A cookie reads, and does nothing else.
            assert browser.get("/mas", headers={"Cookie": value}).status_code == 401
            assert browser.delete("/trace/events", headers={"Cookie": value}).status_code == 401
            runtime.admin("DELETE", f"/readers/{same.id}", status=204)
            assert browser.get("/trace/sessions", headers={"Cookie": value}).status_code == 401

    def test_is_refused_without_the_right_credential(self, runtime: Runtime) -> None:
        answer = self.sign_in(runtime, "cs_wrong")
        assert answer.status_code in (401, 403)
        assert "set-cookie" not in answer.headers

    def test_of_another_site_can_not_sign_it_in(self, runtime: Runtime) -> None:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            answer = self.sign_in(runtime, runtime.admin_secret, **headers)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers

    def test_forges_no_cookie(self, runtime: Runtime) -> None:
        value = self.sign_in(runtime, runtime.admin_secret).headers["set-cookie"].split(";")[0].split("=", 1)[1]
        owner, end, mac = value.split(".")
        assert runtime.http.get("/trace/sessions", headers={"Cookie": f"casa_session={value}"}).status_code == 200
        flipped = ("A" if mac[0] != "A" else "B") + mac[1:]
        for forged in (
            f"{owner}.{int(end) + 1}.{mac}", f"{owner}.{end}.{flipped}", f"{owner}.{end}.", f"{owner}.{end}", "",
            f"reader_x.{end}.{mac}", f"{owner}.-1.{mac}", f"{owner}.{end}.{mac}.x", "." * 600,
        ):
            answer = runtime.http.get("/trace/sessions", headers={"Cookie": f"casa_session={forged}"})
            assert answer.status_code == 401, forged

    def test_sends_one_cookie(self, runtime: Runtime) -> None:
        answer = runtime.http.get("/trace/sessions", headers={"Cookie": "casa_session=a; casa_session=b"})
        assert answer.status_code == 400


class TestTheDemo:
    def test_every_hop_of_a_good_call_is_told(self, stack: Stack) -> None:
        """The whole way of a request, with each hash, check and sidecar that it came by."""
        mark = stack.mark()
        stack.send_prompt("What is my account balance?")
        begun = stack.wait_for_event(mark, "the prompt", lambda e: e["kind"] == "user_input_received")
        session = begun["user_input_id"]

        def hops(whole: Json) -> set[tuple[str, str, str]]:
            return {
                (e["payload"]["direction"], e["payload"]["destination"], e["payload"]["method"])
                for e in whole["events"]
                if e["kind"] == "call_admitted"
            }

        expected = {
            ("egress", "agent", "message/send"), ("ingress", "agent", "message/send"),
            ("egress", "llm", "chat/completions"), ("egress", "bank", "tools/call"), ("ingress", "bank", "tools/call"),
        }

        def find() -> Json | None:
            answer = stack.runtime.http.get(f"/trace/sessions/{session}", headers=stack.runtime.admin_headers)
            if answer.status_code != 200:
                return None
            # Events are read as they are stored; what is made of them follows a moment later.
            known = answer.json()
            is_projected = known["session"]["events"] >= len(known["events"])
            return known if is_projected and hops(known) >= expected else None

        whole = wait_until(find, "every hop is told")
        assert whole["session"]["refused"] == 0
        assert whole["session"]["prompt"] == "What is my account balance?"
        tokens = {t["sha256"]: t for t in whole["tokens"]}
        assert {t["scope"] for t in tokens.values()} == {"user-input", "llm-access", "call-tools"}
        for token in tokens.values():
            # Each was made of another that is told too, but for the first.
            assert token["parent_sha256"] is None or token["parent_sha256"] in tokens
        for event in whole["events"]:
            if "token_sha256" in event["payload"]:
                assert event["payload"]["token_sha256"] in tokens, event
        (spent,) = [t for t in tokens.values() if t["scope"] == "call-tools"]
        assert spent["spent_at"]
        (decided,) = [e for e in whole["events"] if "decision" in e["payload"]]
        checks = decided["payload"]["decision"]["checks"]
        enabled = stack.runtime.admin("GET", f"/mas/{stack.mas}")["enabled_tool_checks"]
        assert sorted(c["check"] for c in checks) == sorted(enabled)
        assert all(c["answer"] == "allow" and c["explanation"] and c["latency_ms"] >= 0 for c in checks)


class TestOpenTraces:
    def test_are_for_loopback_names_only(self, tmp_path: Path) -> None:
        runtime = Runtime(tmp_path / "data", ["--open-traces"]).start()
        try:
            assert runtime.http.get("/trace/sessions").status_code == 200
            assert runtime.http.get("/trace/sessions", headers={"Host": f"localhost:{runtime.port}"}).status_code == 200
            for host in ("evil.example", f"evil.example:{runtime.port}", "127.0.0.1.evil.example", "[::2]"):
                assert runtime.http.get("/trace/sessions", headers={"Host": host}).status_code == 401, host
            cross = {"Sec-Fetch-Site": "cross-site"}
            assert runtime.http.get("/trace/sessions", headers=cross).status_code == 401
            assert runtime.http.get("/mas").status_code == 401
        finally:
            runtime.discard()

    def test_take_a_loopback_address(self, tmp_path: Path) -> None:
        ended = subprocess.run(
            [binary(), "runtime", "--data", tmp_path / "data", "--listen", "0.0.0.0:0", "--open-traces"],
            capture_output=True, text=True, timeout=20, check=False,
        )
        assert ended.returncode == 64
        assert "loopback" in ended.stderr


class TestPruning:
    def test_forgets_what_is_old_and_says_so(self, runtime: Runtime, reader: Reader, call: Json) -> None:
        told(reader, call["session"])
        for before in ("", "now", "2999-01-01T00:00:00Z"):
            assert runtime.http.delete(
                "/trace/events", params={"before": before}, headers=runtime.admin_headers
            ).status_code == 400
        runtime.admin("DELETE", "/trace/events?before=2026-01-01T00:00:00Z", status=204)
        assert runtime.events(kind="traces_pruned")[-1]["payload"] == {"before": "2026-01-01T00:00:00.000Z"}
        told(reader, call["session"])


class TestTheTerminal:
    @staticmethod
    def casa(runtime: Runtime, *arguments: str, status: int = 0) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CASA_C")}
        ended = subprocess.run(
            [binary(), "traces", *arguments, "--url", runtime.url], capture_output=True, text=True, timeout=30,
            check=False, cwd=ROOT, env=environment | {"CASA_CREDENTIAL": runtime.admin_secret},
        )
        assert ended.returncode == status, ended.stderr
        return ended.stdout if status == 0 else ended.stderr

    def test_shows_a_session(self, runtime: Runtime, reader: Reader, call: Json) -> None:
        told(reader, call["session"], lambda s: s["flows"] and s["session"]["refused"] == 1)
        text = self.casa(runtime, "show", call["session"])
        for part in ("Zanzibar", "DETERMINISTIC_TOOL_SELECTED", "token_spent", call["t3"][:12], "192.0.2.7:80"):
            assert part in text, part
        assert json.loads(self.casa(runtime, "show", call["session"], "--format", "json"))["session"]["refused"] == 1

    def test_finds_sessions(self, runtime: Runtime, reader: Reader, call: Json) -> None:
        told(reader, call["session"], lambda s: s["session"]["refused"] == 1)
        assert call["session"] in self.casa(runtime, "query", "--reason", "token_spent")
        lines = self.casa(runtime, "query", "--text", "zanzibar", "--format", "json").splitlines()
        assert call["session"] in [json.loads(line)["id"] for line in lines]

    def test_shows_what_others_wrote_without_obeying_it(self, runtime: Runtime, cast: Cast, reader: Reader) -> None:
        session = session_of(cast, cast.client.t1("\x1b]0;owned\x07\x1b[2J \u202egnihton"))
        told(reader, session)
        text = self.casa(runtime, "show", session)
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
        assert "\\u{202E}gnihton" in text

    def test_follows(self, runtime: Runtime, cast: Cast) -> None:
        session = session_of(cast, cast.client.t1("followed"))
        process = subprocess.Popen(
            [
                binary(), "traces", "tail", "--session", session, "--after", "0", "--format", "json",
                "--url", runtime.url,
            ],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"CASA_CREDENTIAL": runtime.admin_secret},
        )
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["kind"] == "user_input_received"
            assert json.loads(process.stdout.readline())["kind"] == "token_issued"
        finally:
            process.kill()
            process.wait()

    def test_says_what_is_wrong(self, runtime: Runtime) -> None:
        assert "404" in self.casa(runtime, "show", "inp_none", status=1)
        ended = subprocess.run(
            [binary(), "traces", "query", "--url", "http://127.0.0.1:1"], capture_output=True, text=True, timeout=30,
            check=False,
        )
        assert ended.returncode == 1
        assert "--url" in ended.stderr


def test_a_credential_in_the_address_is_none(runtime: Runtime) -> None:
    secret = runtime.admin_secret
    assert httpx.get(f"{runtime.url}/trace/sessions?access_token={secret}", trust_env=False).status_code == 401
