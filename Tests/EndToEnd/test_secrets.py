"""No secret, token or prompt leaves the runtime but to whom it belongs, and secrets are not stored."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from casa_runtime import ASSERTION, App, Cast, Runtime, token_of
from test_bad_input import BAD_FORMS, BAD_JSON, ENDPOINTS, Wire
from test_oauth_clients import KeyedClient


@dataclass
class Evidence:
    """What was secret in a run and what the run let be seen."""

    runtime: Runtime
    admin: str
    secrets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, secret: str) -> str:
        self.secrets[name] = secret
        return secret

    def see(self, name: str, answer: httpx.Response) -> httpx.Response:
        """Keeps an answer in which nothing secret may be."""
        self.seen[f"{name} ({len(self.seen)})"] = answer.text + str(answer.headers)
        return answer

    def leaks(self) -> list[str]:
        return [
            f"{name} in {place}"
            for name, secret in {**self.secrets, "admin credential": self.admin}.items()
            for place, text in self.seen.items()
            if secret in text
        ]


def run_flows(cast: Cast, evidence: Evidence) -> None:
    """Everything that succeeds: T1 to T3, introspection, spending, revoking."""
    prompt = evidence.keep("prompt", f"my password is {uuid.uuid4().hex}")
    argument = evidence.keep("argument", f"argument-{uuid.uuid4().hex}")
    t1, arguments = cast.selected_call({"note": argument}, prompt)
    evidence.keep("T1", t1)
    evidence.keep("T2", token_of(cast.agent.exchange(t1, "llm-access")))
    onward = evidence.keep("onward T1", token_of(cast.agent.exchange(t1, "user-input", audience="planner")))
    t3 = evidence.keep("T3", token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments)))
    evidence.see("introspection", cast.agent.post("/oauth/introspect", {"token": t1}))
    evidence.see("spend", cast.bank.spend(t3))
    evidence.see("second spend", cast.bank.spend(t3))
    evidence.see("refused call", cast.agent.exchange_for_call(t1, "bank", "transfer_money", arguments))
    evidence.see("used selection", cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments))
    evidence.see("revocation", cast.agent.revoke(onward))
    evidence.see("exchange of a revoked token", cast.second_agent.exchange(onward, "llm-access"))
    keyed = KeyedClient(cast, "ES256")
    assertion = evidence.keep("assertion", keyed.assertion())
    evidence.keep("T1 of an assertion", token_of(keyed.ask(assertion)))
    evidence.see("assertion replayed", keyed.ask(assertion))
    node = cast.runtime.create_node("worker-2")
    evidence.keep("secret of a node", node.secret)
    digest = hashlib.sha256(t3.encode()).hexdigest()
    seen = {"kind": "token_seen", "id": "1", "at": int(time.time() * 1000), "workload": "bank/assistant-0"}
    seen |= {"app_id": cast.agent.id, "token_sha256": digest, "direction": "outbound", "remote": "203.0.113.9:443"}
    assert evidence.see("exfiltration", node.report(seen)).status_code == 204
    evidence.keep("rotated secret of a node", cast.runtime.admin("POST", f"/nodes/{node.id}/secret")["client_secret"])


def run_errors(cast: Cast, evidence: Evidence) -> None:
    """Requests that hold secrets where they should not be."""
    runtime = cast.runtime
    prompt = evidence.keep("refused prompt", f"refused prompt {uuid.uuid4().hex}")
    secret, t1 = cast.client.secret or "", evidence.secrets["T1"]
    evidence.see("prompt too large", cast.client.issue(prompt + "x" * 70_000))
    evidence.see("prompt by an agent", cast.agent.issue(prompt))
    evidence.see("prompt as scope", cast.client.issue("hello", scope=prompt))
    evidence.see("prompt as audience", cast.client.issue("hello", audience=prompt))
    evidence.see("prompt as tools", cast.client.issue("hello", tools=prompt))
    evidence.see("prompt as traceparent", cast.client.issue("hello", traceparent=prompt))
    evidence.see("prompt as grant", cast.client.post("/oauth/token", {"grant_type": prompt}))
    evidence.see("prompt as details", cast.agent.exchange(t1, "call-tools", authorization_details=prompt))
    evidence.see("token as scope", cast.agent.exchange(t1, t1))
    evidence.see("token as kind", cast.agent.report({"kind": t1}))
    evidence.see("token as session", runtime.http.get(f"/trace/events?session={t1}", headers=runtime.admin_headers))
    evidence.see("token in a path", runtime.http.get(f"/user-inputs/{t1}", headers=runtime.admin_headers))
    evidence.see("secret as a name", runtime.http.post("/mas", json={"name": secret}, headers=runtime.admin_headers))
    evidence.see("secret as a path", runtime.http.get("/" + secret))
    evidence.see("secret as bearer", runtime.http.get("/mas", headers={"authorization": f"Bearer {secret}"}))
    evidence.see("wrong client", App(runtime, "app_nobody", "x", cast.mas, secret).issue(prompt))
    evidence.see("no assertion", runtime.http.post("/oauth/token", data={"client_assertion": t1, "user_input": prompt}))
    form = {"client_assertion": t1, "client_assertion_type": ASSERTION, "user_input": prompt}
    evidence.see("token as assertion", runtime.http.post("/oauth/token", data=form))
    wire = Wire(cast)
    for endpoint in (ENDPOINTS[0], ENDPOINTS[6]):
        for body in (*BAD_JSON.values(), *BAD_FORMS.values()):
            wire.body(endpoint, body + prompt.encode())


@pytest.fixture(scope="module")
def evidence(new_runtime: Callable[..., Runtime], new_cast: Callable[..., Cast]) -> Evidence:
    """All flows against a runtime that logs as much as it can; it is stopped when they are over."""
    runtime = new_runtime("--log-level", "trace")
    cast = new_cast(runtime)
    evidence = Evidence(runtime, runtime.admin_secret)
    for app in (cast.client, cast.agent, cast.second_agent, cast.bank):
        secret = evidence.keep(f"secret of {app.name}", app.secret or "")
        evidence.keep(f"Basic of {app.name}", base64.b64encode(f"{app.id}:{secret}".encode()).decode())
    run_flows(cast, evidence)
    run_errors(cast, evidence)
    evidence.keep("rotated secret", runtime.admin("POST", f"/apps/{cast.second_agent.id}/secret")["client_secret"])
    runtime.admin("POST", "/keys/rotate")
    for path in ("/metrics", "/trace/events?limit=1000", "/mas", "/apps", "/nodes", f"/apps/{cast.bank.id}/tools"):
        evidence.see(path, runtime.http.get(path, headers=runtime.admin_headers))
    evidence.see("/apps/self", runtime.http.get("/apps/self", auth=(cast.client.id, cast.client.secret or "")))
    modes(runtime.data)
    assert runtime.stop() == 0
    evidence.seen["standard output and error"] = runtime.logs.read_text()
    return evidence


def modes(data: Path) -> dict[str, str]:
    """The permissions of a data directory and the files in it."""
    return {path.name: oct(path.stat().st_mode & 0o777) for path in [data, *data.iterdir()]}


def test_no_secret_token_or_prompt_is_in_logs_metrics_traces_or_errors(evidence: Evidence) -> None:
    assert len(evidence.seen) > 30 and evidence.seen["standard output and error"]
    assert evidence.leaks() == []


def test_the_database_holds_no_secret_and_no_token(evidence: Evidence) -> None:
    stored = b"".join(path.read_bytes() for path in evidence.runtime.data.glob("casa.sqlite*"))
    for name, secret in {**evidence.secrets, "admin credential": evidence.admin}.items():
        if name != "prompt":
            assert secret.encode() not in stored, name
    assert evidence.secrets["prompt"].encode() in stored


def test_a_prompt_is_stored_in_one_place_only(evidence: Evidence) -> None:
    with sqlite3.connect(evidence.runtime.data / "casa.sqlite") as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        holding = {
            (table, column)
            for table in tables
            for column in [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for (value,) in database.execute(f"SELECT {column} FROM {table}")
            if isinstance(value, str) and evidence.secrets["prompt"] in value
        }
    assert holding == {("user_inputs", "text")}


def test_client_secrets_and_the_admin_credential_are_stored_salted_and_hashed(evidence: Evidence) -> None:
    with sqlite3.connect(evidence.runtime.data / "casa.sqlite") as database:
        rows = database.execute("SELECT secret_salt, secret_hash FROM apps WHERE jwks IS NULL").fetchall()
        (admin,) = database.execute("SELECT value FROM settings WHERE name = 'admin_secret'").fetchone()
    hashed = [*rows, tuple(admin.split(":"))]
    assert len(hashed) >= 5 and len({salt for salt, _ in hashed}) == len(hashed)
    assert all(len(salt) == 22 and len(digest) == 43 for salt, digest in hashed)


def test_the_data_directory_is_its_owners_only(new_runtime: Callable[..., Runtime]) -> None:
    runtime = new_runtime()
    runtime.create_mas("private")
    found = modes(runtime.data)
    assert found.pop("data") == "0o700"
    assert {"admin-credential", "casa.sqlite", "casa.sqlite-wal", "casa.lock"} <= found.keys()
    assert set(found.values()) == {"0o600"}
