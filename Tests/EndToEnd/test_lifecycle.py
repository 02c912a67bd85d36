"""Start, drain, crash and start again: what was answered stays true."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from casa_runtime import App, Cast, Json, Runtime, canonical_sha256, token_of, wait_until
from test_bad_input import ENDPOINTS, Wire, read_answer

NewRuntime = Callable[..., Runtime]
NewCast = Callable[..., Cast]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def with_own_connections(app: App, runtime: Runtime) -> App:
    """The same app on connections of its own, for one thread."""
    view = Runtime.__new__(Runtime)
    view.__dict__.update(runtime.__dict__)
    view.http = runtime.client()
    return App(view, app.id, app.name, app.mas, app.secret)


def in_threads(count: int, work: Callable[[int], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


class TestStart:
    def test_the_first_request_is_answered(self, new_runtime: NewRuntime) -> None:
        runtime = new_runtime()
        print(f"\nstart to first answer: {runtime.start_seconds * 1000:.0f} ms (goal: below 2000 ms)")
        assert runtime.http.get("/healthz").json() == {"status": "ok"}

    def test_the_credential_is_made_once_and_state_is_kept_over_a_restart(self, new_runtime: NewRuntime) -> None:
        runtime = new_runtime()
        secret, mas = runtime.admin_secret, runtime.create_mas("kept")
        assert runtime.stop() == 0
        runtime.start()
        assert runtime.admin_secret == secret
        assert runtime.admin("GET", f"/mas/{mas}")["name"] == "kept"

    def test_a_second_runtime_on_the_same_data_is_refused_and_the_first_goes_on(self, new_runtime: NewRuntime) -> None:
        first = new_runtime()
        code, said = Runtime(first.data).run_to_end()
        assert code != 0
        assert "another casa runtime uses this data directory" in said
        assert first.http.get("/readyz").status_code == 200

    def test_a_port_in_use_is_a_clear_error(self, new_runtime: NewRuntime, tmp_path: Path) -> None:
        first = new_runtime()
        code, said = Runtime(tmp_path / "data", port=first.port).run_to_end()
        assert code != 0
        assert "in use" in said.lower()

    def test_a_data_directory_that_can_not_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        data = tmp_path / "file" / "data"
        code, said = Runtime(data).run_to_end()
        assert code != 0
        assert str(data) in said

    def test_a_database_that_is_none_is_a_clear_error(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        (data / "casa.sqlite").write_bytes(b"this is no database" * 1000)
        code, said = Runtime(data).run_to_end()
        assert code != 0
        assert "not a database" in said

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [(["--token-lifetime", "0"], "--token-lifetime"), (["--algorithm", "none"], "--algorithm")]
        + [(["--algorithm", "HS256"], "--algorithm"), (["--issuer", "ftp://x"], "--issuer")],
    )
    def test_wrong_options_are_refused_by_name(self, tmp_path: Path, arguments: list[str], named: str) -> None:
        code, said = Runtime(tmp_path / "data", arguments).run_to_end()
        assert code == 64
        assert named in said


class TestDrain:
    def test_a_request_under_way_is_answered_after_sigterm(self, new_runtime: NewRuntime, new_cast: NewCast) -> None:
        wire = Wire(new_cast(new_runtime()))
        body = b"grant_type=client_credentials&user_input=hello"
        head = wire.head(ENDPOINTS[0], f"Content-Length: {len(body)}")
        with wire.connect() as connection:
            # The first answer tells that the second request's head, sent with it, has been read.
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + head)
            first = read_answer(connection)
            assert first is not None and first.status == 200
            wire.runtime.terminate()
            wait_until(lambda: not self.accepts(wire.runtime), "no new connections are accepted")
            connection.sendall(body)
            second = read_answer(connection)
        assert second is not None and second.status == 200
        assert wire.runtime.wait() == 0

    def accepts(self, runtime: Runtime) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", runtime.port), 1):
                return True
        except OSError:
            return False

    def test_everything_that_was_carried_out_under_load_was_answered(
        self, new_runtime: NewRuntime, new_cast: NewCast
    ) -> None:
        cast = new_cast(new_runtime())
        answered: list[str] = []
        statuses: set[int] = set()

        def work(_: int) -> None:
            client = with_own_connections(cast.client, cast.runtime)
            while True:
                try:
                    answer = client.issue("hello")
                except httpx.TransportError:
                    return
                statuses.add(answer.status_code)
                if answer.status_code == 200:
                    answered.append(sha256(token_of(answer)))

        threads = in_threads(8, work)
        wait_until(lambda: len(answered) > 50, "the load runs")
        cast.runtime.terminate()
        assert cast.runtime.wait() == 0
        for thread in threads:
            thread.join(10)
        cast.runtime.start()
        issued = [event["payload"]["token_sha256"] for event in cast.runtime.events(kind="token_issued")]
        assert sorted(issued) == sorted(answered)
        assert statuses == {200}

    def test_an_idle_connection_does_not_delay_the_end(self, new_runtime: NewRuntime) -> None:
        runtime = new_runtime()
        with socket.create_connection(("127.0.0.1", runtime.port), 5) as idle:
            assert runtime.http.get("/healthz").status_code == 200
            runtime.terminate()
            assert idle.recv(1) == b""
        assert runtime.wait() == 0

    def test_who_waits_for_revocations_does_not_delay_the_end(
        self, new_runtime: NewRuntime, new_cast: NewCast
    ) -> None:
        wire = Wire(new_cast(new_runtime()))
        client = wire.cast.client
        auth = (client.id, client.secret)
        cursor = wire.runtime.http.get("/oauth/revocations", auth=auth).json()["cursor"]
        word = base64.b64encode(":".join(auth).encode()).decode()
        wait = f"GET /oauth/revocations?after={cursor} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {word}\r\n\r\n"
        with wire.connect() as connection:
            # The first answer tells that the second request, sent with it, has been read.
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + wait.encode())
            assert (first := read_answer(connection)) is not None and first.status == 200
            wire.runtime.terminate()
            second = read_answer(connection)
        assert second is not None and second.status == 200 and json.loads(second.body)["user_input_ids"] == []
        # Without it, it would wait for 20 s for what to say.
        assert wire.runtime.wait(10) == 0


@dataclass
class Flow:
    """One session's steps that were answered; None is a step without an answer."""

    prompt: str
    arguments: Json
    issued: Json | None = None
    t2: str | None = None
    selected: bool = False
    t3: str | None = None
    spending: bool = False
    spent: bool = False

    def run(self, cast: Cast, client: App, agent: App, bank: App) -> None:
        issued = client.issue(self.prompt, audience=cast.agent.name)
        t1 = token_of(issued)
        self.issued = issued.json()
        self.t2 = token_of(agent.exchange(t1, "llm-access"))
        assert agent.report_selection(self.t2, Cast.TOOL, self.arguments).status_code == 204
        self.selected = True
        self.t3 = token_of(agent.exchange_for_call(t1, cast.bank.name, Cast.TOOL, self.arguments))
        self.spending = True
        assert bank.spend(self.t3).status_code == 200
        self.spent = True


@dataclass
class Load:
    """Threads that run flows until the connection breaks."""

    cast: Cast
    flows: list[Flow] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def work(self, _: int) -> None:
        cast = self.cast
        apps = [with_own_connections(app, cast.runtime) for app in (cast.client, cast.agent, cast.bank)]
        while True:
            flow = Flow(f"prompt {uuid.uuid4()}", {"n": uuid.uuid4().hex})
            self.flows.append(flow)
            try:
                flow.run(cast, *apps)
            except httpx.TransportError:
                return
            except BaseException as failure:
                self.failures.append(failure)
                return


class TestCrash:
    ROUNDS = 5

    def test_what_was_answered_before_kill_9_is_there_after_it(
        self, new_runtime: NewRuntime, new_cast: NewCast
    ) -> None:
        cast = new_cast(new_runtime())
        moments = random.Random(time.time_ns())
        for _ in range(self.ROUNDS):
            load = Load(cast)
            threads = in_threads(6, load.work)
            wait_until(lambda load=load: any(flow.spent for flow in load.flows), "a call was carried out")
            time.sleep(moments.uniform(0, 0.3))  # The moment of the crash is meant to be any.
            cast.runtime.kill()
            for thread in threads:
                thread.join(10)
            assert not load.failures, load.failures
            cast.runtime.start()
            self.check(cast, load.flows)

    def check(self, cast: Cast, flows: list[Flow]) -> None:
        recorded = self.recorded_hashes(cast)
        print(f"\n{len(flows)} flows, {sum(flow.spent for flow in flows)} with a spent token")
        for flow in flows:
            if flow.issued is None:
                continue
            t1 = flow.issued["access_token"]
            assert cast.client.is_active(t1)
            assert ("token_issued", sha256(t1)) in recorded
            auth = (cast.client.id, cast.client.secret or "")
            stored = cast.runtime.http.get(f"/user-inputs/{flow.issued['user_input_id']}", auth=auth)
            assert stored.json()["user_input"] == flow.prompt
            if flow.t2 is not None:
                assert cast.agent.is_active(flow.t2)
                assert ("token_exchanged", sha256(flow.t2)) in recorded
            if flow.selected:
                self.check_selection(cast, flow, t1, recorded)

    def check_selection(self, cast: Cast, flow: Flow, t1: str, recorded: set[tuple[str, str]]) -> None:
        assert flow.t2 is not None and ("llm_call", sha256(flow.t2)) in recorded
        again = cast.agent.exchange_for_call(t1, cast.bank.name, Cast.TOOL, flow.arguments)
        if flow.spent:
            assert flow.t3 is not None and ("token_spent", sha256(flow.t3)) in recorded
            assert (again.status_code, again.json()["reason"]) == (403, "tool_selection_already_used")
            replay = cast.bank.spend(flow.t3)
            assert (replay.status_code, replay.json()["reason"]) == (403, "token_spent")
        elif not flow.spending:
            assert again.status_code == 200, "the selection was answered and is lost"
            assert cast.bank.spend(token_of(again)).status_code == 200

    def recorded_hashes(self, cast: Cast) -> set[tuple[str, str]]:
        """Which token did what, as the trace tells."""
        found = ((event["kind"], event["payload"].get("token_sha256")) for event in cast.runtime.events())
        return {(kind, digest) for kind, digest in found if digest}


class TestFullDisk:
    def test_nothing_is_granted_that_can_not_be_stored_and_all_that_was_granted_stays(
        self, new_runtime: NewRuntime, new_cast: NewCast
    ) -> None:
        runtime = new_runtime(start=False)
        runtime.file_size_limit = 1 << 20
        cast = new_cast(runtime.start())
        granted: list[str] = []
        for _ in range(200):
            answer = cast.client.issue("x" * 60_000)
            if answer.status_code != 200:
                break
            granted.append(token_of(answer))
        assert granted
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert runtime.http.get("/healthz").status_code == 200
        assert all(cast.client.is_active(token) for token in granted)
        refused = runtime.http.post("/mas", json={"name": "new", "x": "y"}, headers=runtime.admin_headers)
        assert refused.status_code in (201, 503)
        runtime.kill()
        runtime.file_size_limit = None
        runtime.start()
        assert all(cast.client.is_active(token) for token in granted)
        assert cast.client.issue("x" * 60_000).status_code == 200

    def test_a_disk_that_is_full_at_the_start_is_a_clear_error(self, tmp_path: Path) -> None:
        runtime = Runtime(tmp_path / "data", file_size_limit=1000)
        with (tmp_path / "said").open("w+b") as said:
            process = runtime.spawn(said)
            assert process.wait(20) > 0
            said.seek(0)
            assert b"is not available" in said.read()


def test_arguments_are_hashed_as_the_runtime_does(cast: Cast) -> None:
    """The other tests rest on it."""
    t1, arguments = cast.selected_call({"b": "ü", "a": [1, {"z": None}]})
    claims = cast.bank.introspect(token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments)))
    assert claims["authorization_details"][0]["arguments_sha256"] == canonical_sha256(arguments)
