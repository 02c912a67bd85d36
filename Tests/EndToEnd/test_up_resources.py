"""`casa up -f`: the objects of a cluster, enforced on one machine."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from casa_runtime import ROOT, binary, wait_until
from casa_stack import LLM_KEY, mcp_headers, new_traceparent, refusal_of, send_raw, tool_call
from up_stack import FILES, UpStack

TRANSFER = 'Transfer 25 EUR for "dinner" to IT60X0542811101000000123456'
BANK_ENDPOINT = "- {name: bank, namespace: banking, port: 8101}"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpStack]:
    with UpStack(tmp_path_factory.mktemp("up")).running("agent", "bank") as stack:
        yield stack


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpStack]:
    """The same, but the agent's policy does not name the bank; and everything else that the objects can say."""
    stack = UpStack(tmp_path_factory.mktemp("narrow"))
    stack.policy = stack.policy.replace(BANK_ENDPOINT, "- {name: mail, port: 25}")
    stack.mas = stack.mas.replace("llm_host:", "allowUndecided: true\n  intent: {maximum_near_misses: 3}\n  llm_host:")
    stack.mas = stack.mas.replace("    - AI_POWERED_TOOL_MATCH\n", "")
    stack.mas = stack.mas.replace("type: mcp_server", "type: mcp_server\n      allowedMethods: [resources/read]")
    with stack.running("bank"):
        yield stack


def test_a_transfer_that_the_user_asked_for_passes(bank: UpStack) -> None:
    before = len(bank.ledger()["executed"])
    answer = bank.send_prompt(TRANSFER)
    assert [call["ok"] for call in answer["metadata"]["toolCalls"]] == [True], answer
    assert len(bank.ledger()["executed"]) == before + 1


def test_what_the_user_did_not_ask_for_is_refused(bank: UpStack) -> None:
    before = bank.ledger()
    answer = bank.send_prompt("What is the exchange rate of EUR to USD?", misbehave="unselected")
    assert not answer["metadata"]["toolCalls"][0]["ok"]
    assert bank.ledger()["executed"] == before["executed"]


def test_the_sidecar_keeps_the_llms_key(bank: UpStack) -> None:
    bank.send_prompt("What is my balance?")
    requests = bank.http.get(f"http://127.0.0.1:{bank.llm_app}/requests").json()["requests"]
    keys = {value for request in requests for name, value in request["headers"] if name.lower() == "authorization"}
    assert keys == {f"Bearer {LLM_KEY}"}


def test_casa_run_tells_an_app_its_sidecars_addresses_and_not_the_developers_key(bank: UpStack) -> None:
    lines = bank.run("agent", "env").stdout.splitlines()
    assert f"CASA_URL_BANK={bank.calls('agent')['bank']}" in lines
    assert f"OPENAI_BASE_URL=http://127.0.0.1:{bank.first_port + 190}/v1" in lines
    assert "OPENAI_API_KEY=kept-by-the-sidecar" in lines
    assert not [line for line in bank.run("client", "env").stdout.splitlines() if line.startswith("CASA_URL_BANK")]
    assert bank.run("agent", "sh", "-c", "exit 7").returncode == 7
    assert "no running app nobody" in bank.run("nobody", "env").stderr


def test_another_host_than_the_llm_is_not_reached_by_the_way_to_the_llm(bank: UpStack) -> None:
    way = bank.ready["endpoints"]["agent"]["llm"]
    before = len(bank.http.get(f"http://127.0.0.1:{bank.llm_app}/requests").json()["requests"])
    body = b'{"model":"any","messages":[{"role":"user","content":"x"}]}'
    for target, host in (("http://evil.example.com/v1/chat/completions", "evil.example.com"), ("/v2/other", "x")):
        head = f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        answer = send_raw(way, head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert answer.status in (400, 403, 404, 421), answer.data
    after = bank.http.get(f"http://127.0.0.1:{bank.llm_app}/requests").json()["requests"]
    assert len(after) == before


def test_who_is_not_in_the_policy_has_no_address(narrow: UpStack) -> None:
    assert narrow.calls("agent") == {}
    assert narrow.calls("client")["agent"] == f"http://127.0.0.1:{narrow.first_port + 2}/"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", narrow.first_port + 103)):
        pass
    # Past the sidecar's addresses the bank's own sidecar is met, which wants a token.
    called = narrow.ready["endpoints"]["bank"]["called_at"]
    body = tool_call("transfer_money", {"recipient_iban": "DE02", "amount": 1, "currency": "EUR", "subject": "x"})
    headers = {**mcp_headers("tools/call", "transfer_money"), "traceparent": new_traceparent()}
    answer = narrow.http.post(called, json=body, headers=headers)
    assert answer.status_code == 403 and refusal_of(answer) == "token_missing"
    assert narrow.ledger()["executed"] == []
    assert "mail.banking:25, no app of the system" in narrow.log()


def test_the_runtime_is_told_what_the_objects_say(narrow: UpStack) -> None:
    (mas,) = narrow.runtime.admin("GET", "/mas")["mas"]
    assert mas["name"] == "banking" and mas["allow_undecided"] is True
    assert mas["intent"]["maximum_near_misses"] == 3
    assert "AI_POWERED_TOOL_MATCH" not in mas["enabled_tool_checks"] and len(mas["enabled_tool_checks"]) == 4
    bank = narrow.runtime.admin("GET", f"/apps/{narrow.ready['apps']['bank']}")
    assert bank["allowed_methods"] == ["resources/read"]


def test_an_overridden_llm_is_told(bank: UpStack) -> None:
    assert f"http://127.0.0.1:{bank.llm_app}/v1 stands for the LLM https://api.openai.com/v1" in bank.log()


def up(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A `casa up` that ends by itself."""
    return subprocess.run(
        [str(binary()), "up", *arguments], input=stdin, capture_output=True, text=True, timeout=30, cwd=ROOT
    )


def text(change: Callable[[str], str] = lambda text: text) -> str:
    return change((FILES / "mas.yaml").read_text() + "---\n" + (FILES / "policy.yaml").read_text())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("fqdn: api.openai.com", "fqdn: evil.example.com", "CASAPolicy banking/agent: LLMMismatch: the policy permits"),
        ("name: bank}", "name: till}", "CASAPolicy banking/bank: TargetUnknown"),
        ("type: agent", "type: robot", "spec.apps[1].type: expected client, agent, mcp_server"),
        ("casa.io/v1alpha1\nkind: CASAPolicy", "casa.io/v2\nkind: CASAPolicy", "expected casa.io/v1alpha1"),
    ],
)
def test_objects_that_a_cluster_refuses_are_refused(old: str, new: str, expected: str) -> None:
    changed = text(lambda whole: whole.replace(old, new))
    assert changed != text()
    done = up("-f", "-", stdin=changed)
    assert done.returncode == 1 and expected in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give either system.yaml or -f"),
        (["system.yaml", "-f", "-"], "give either system.yaml or -f"),
        (["system.yaml", "--node-guard"], "--node-guard goes with -f"),
        (["-f", "-", "--first-port", "7998"], "127.0.0.1:8101"),
        (["-f", "-", "--app-port", "bank"], "--app-port must be"),
        (["-f", "-", "--app-port", "till=1"], "has no app till"),
        (["-f", "-", "--system", "other"], "expected the MultiAgentSystem other, got banking/banking"),
        (["-f", "-", "--cgroup", "/x"], "--cgroup and --pins go with --node-guard"),
    ],
)
def test_wrong_usage_ends_with_64(arguments: list[str], expected: str) -> None:
    done = up(*arguments, stdin=text())
    assert done.returncode == 64 and expected in done.stderr, (done.returncode, done.stderr)


def test_an_app_can_be_asked_to_end(bank: UpStack) -> None:
    with subprocess.Popen(bank.run_command("agent", ["sleep", "60"])) as app:
        wait_until(lambda: Path(f"/proc/{app.pid}/comm").read_text() == "sleep\n", "the app runs", 20)
        app.terminate()
        assert app.wait(10) == -signal.SIGTERM


def test_one_of_several_systems_has_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text())
    (tmp_path / "b.yml").write_text(text(lambda whole: whole.replace("banking", "savings")))
    (tmp_path / "deployment.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: agent}\n")
    done = up("-f", str(tmp_path))
    assert done.returncode == 64 and "--system" in done.stderr and "banking/banking, savings/savings" in done.stderr
