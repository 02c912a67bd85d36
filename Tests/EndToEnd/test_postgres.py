"""The runtime on PostgreSQL: the same answers, and none that isn't stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from casa_runtime import App, Cast, Runtime, token_of, wait_until
from postgres_server import PostgresServer, postgres_server

NewRuntime = Callable[..., Runtime]
NewCast = Callable[..., Cast]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def cast(server: PostgresServer, new_runtime: NewRuntime, new_cast: NewCast) -> Cast:
    """A MAS in a runtime whose database is on the server."""
    return new_cast(new_runtime("--database", server.url))


def test_a_session_is_what_it_is_on_sqlite_and_survives_a_restart(cast: Cast, server: PostgresServer) -> None:
    t1, arguments = cast.selected_call({"account": "1"})
    t3 = token_of(cast.agent.exchange_for_call(t1, cast.bank.name, Cast.TOOL, arguments))
    assert not (cast.runtime.data / "casa.sqlite").exists()
    assert int(server.psql("casa", "SELECT COUNT(*) FROM tokens")) >= 3
    cast.runtime.kill()
    cast.runtime.start()
    assert cast.bank.is_active(t3)
    assert cast.bank.spend(t3).status_code == 200
    replay = cast.bank.spend(t3)
    assert (replay.status_code, replay.json()["reason"]) == (403, "token_spent")
    again = cast.agent.exchange_for_call(t1, cast.bank.name, Cast.TOOL, arguments)
    assert (again.status_code, again.json()["reason"]) == (403, "tool_selection_already_used")
    assert cast.client.revoke(t1).status_code == 200
    assert not cast.client.is_active(t1)
    cast.runtime.stop()
    cast.runtime.start()
    assert not cast.client.is_active(t1)
    kinds = [event["kind"] for event in cast.runtime.events()]
    assert {"token_issued", "token_exchanged", "token_spent", "token_revoked"} <= set(kinds)


def test_while_the_server_is_away_nothing_is_granted_and_afterwards_all_goes_on(
    cast: Cast, server: PostgresServer
) -> None:
    before = cast.client.t1()
    server.kill()
    refused = cast.client.issue()
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert cast.runtime.http.get("/readyz").status_code == 503
    assert cast.runtime.http.get("/healthz").status_code == 200

    def nobody_waits() -> bool:
        began = time.monotonic()
        assert [cast.client.issue().status_code for _ in range(3)] == [503] * 3
        return time.monotonic() - began < 1

    wait_until(nobody_waits, "the server is known to be away", 15)
    assert cast.runtime.http.post("/mas", json={"name": "new"}, headers=cast.runtime.admin_headers).status_code == 503
    server.start()
    began = time.monotonic()
    wait_until(lambda: cast.client.issue().status_code == 200, "tokens are issued again", 5)
    print(f"\nissued again {time.monotonic() - began:.2f} s after PostgreSQL answered")
    wait_until(lambda: cast.runtime.http.get("/readyz").status_code == 200, "it is ready again", 5)
    assert cast.client.is_active(before)


def test_a_prompt_with_the_character_nul_is_refused_by_what_is_wrong_with_it(
    cast: Cast, new_runtime: NewRuntime, new_cast: NewCast
) -> None:
    for each in [cast, new_cast(new_runtime())]:
        refused = each.client.issue("What is\0 my balance?")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
        assert "without U+0000" in refused.json()["error_description"]


def test_a_database_that_does_not_answer_is_a_clear_error_without_its_password(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path / "data", ["--database", "postgres://casa:hush@127.0.0.1:1/casa"])
    code, said = runtime.run_to_end()
    assert code == 1
    assert "PostgreSQL" in said
    assert "hush" not in said


def test_the_url_can_stand_in_a_file(server: PostgresServer, new_runtime: NewRuntime, tmp_path: Path) -> None:
    server.psql("postgres", "CREATE DATABASE filed")
    file = tmp_path / "database"
    file.write_text(server.url.replace("/casa?", "/filed?") + "\n")
    runtime = new_runtime("--database-file", str(file))
    assert httpx.get(runtime.url + "/readyz", trust_env=False).status_code == 200
    assert server.psql("filed", "SELECT COUNT(*) FROM signing_keys") == "1"


@pytest.mark.parametrize(
    "arguments", [["--database", "x", "--database-file", "y"], ["--database-file", "/does/not/exist"]]
)
def test_wrong_options_are_refused_by_name(tmp_path: Path, arguments: list[str]) -> None:
    code, said = Runtime(tmp_path / "data", arguments).run_to_end()
    assert code == 64
    assert "--database-file" in said


class TestTwoRuntimes:
    """Two runtimes on one database, as behind a load balancer."""

    @pytest.fixture
    def casts(self, server: PostgresServer, new_runtime: NewRuntime, new_cast: NewCast) -> tuple[Cast, Cast]:
        """The same MAS, as seen through each of the two."""
        name = f"shared_{time.monotonic_ns()}"
        server.psql("postgres", f"CREATE DATABASE {name}")
        url = server.url.replace("/casa?", f"/{name}?")
        # Tokens of both name the same issuer: the address of the balancer.
        options = ["--database", url, "--issuer", "http://casa.example"]
        first = new_runtime(*options)
        cast = new_cast(first)
        second = new_runtime(*options)
        apps = (cast.client, cast.agent, cast.second_agent, cast.bank)
        return cast, Cast(second, cast.mas, *(self.at(second, app) for app in apps))

    def at(self, runtime: Runtime, app: App) -> App:
        return App(runtime, app.id, app.name, app.mas, app.secret)

    def test_what_one_stored_the_other_knows(self, casts: tuple[Cast, Cast]) -> None:
        here, there = casts
        t1 = here.client.t1(audience=here.agent.name)
        arguments = {"account": "1"}
        t2 = token_of(there.agent.exchange(t1, "llm-access"))
        assert here.agent.report_selection(t2, Cast.TOOL, arguments).status_code == 204
        t3 = token_of(there.agent.exchange_for_call(t1, there.bank.name, Cast.TOOL, arguments))
        assert here.bank.spend(t3).status_code == 200
        assert there.bank.spend(t3).json()["reason"] == "token_spent"
        again = there.agent.exchange_for_call(t1, there.bank.name, Cast.TOOL, arguments)
        assert again.json()["reason"] == "tool_selection_already_used"

    def test_what_one_revoked_the_other_refuses_at_once_and_tells_the_data_plane_within_a_second(
        self, casts: tuple[Cast, Cast]
    ) -> None:
        here, there = casts
        t1 = here.client.t1(audience=here.agent.name)
        assert there.agent.is_active(t1)
        auth = (there.agent.id, there.agent.secret)
        cursor = there.runtime.http.get("/oauth/revocations", auth=auth).json()["cursor"]
        assert here.client.revoke(t1).status_code == 200
        began = time.monotonic()
        assert not there.agent.is_active(t1)
        assert there.agent.exchange(t1, "llm-access").status_code == 400
        page = there.runtime.http.get("/oauth/revocations", params={"after": cursor}, auth=auth).json()
        seconds = time.monotonic() - began
        print(f"\ntold the data plane {seconds:.2f} s after the revocation at the other")
        assert len(page["user_input_ids"]) == 1
        assert seconds < 1

    def test_what_one_registered_the_other_knows_soon(self, casts: tuple[Cast, Cast]) -> None:
        here, there = casts
        mas = here.runtime.create_mas("created-here")
        headers = here.runtime.admin_headers

        def is_known() -> bool:
            return there.runtime.http.get(f"/mas/{mas}", headers=headers).status_code == 200

        wait_until(is_known, "the other runtime knows the MAS", 2)
