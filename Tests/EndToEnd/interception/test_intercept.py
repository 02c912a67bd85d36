"""`casa sidecar intercept` sets its rules once, says what it did, and takes them out again."""

from __future__ import annotations

import json
import subprocess

import pytest
from casa_runtime import binary
from pods import PROXY_USER, Node

BACKENDS = ["nft", "legacy"]


def saved(node: Node, backend: str) -> str:
    """All rules of both families, without counters and comments."""
    texts = [node.run(f"{tool}-{backend}-save", user=None).stdout for tool in ("iptables", "ip6tables")]
    return "\n".join(line for line in "".join(texts).splitlines() if not line.startswith(("#", ":")))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_run_changes_nothing(empty: Node, backend: str) -> None:
    first = empty.intercept("--backend", backend)
    assert first.returncode == 0 and "ipv4: set" in first.stderr and "ipv6: set" in first.stderr
    rules = saved(empty, backend)
    assert "--to-ports 15001" in rules and f"--uid-owner {PROXY_USER}" in rules
    second = empty.intercept("--backend", backend)
    assert second.returncode == 0 and "ipv4: nothing to change" in second.stderr
    assert saved(empty, backend) == rules


@pytest.mark.parametrize("backend", BACKENDS)
def test_removal_leaves_the_rules_of_others(empty: Node, backend: str) -> None:
    empty.run(f"iptables-{backend}", "-A", "OUTPUT", "-d", "192.0.2.1", "-j", "DROP", user=None)
    before = saved(empty, backend)
    assert empty.intercept("--backend", backend).returncode == 0
    assert saved(empty, backend) != before
    assert empty.intercept("--remove").returncode == 0
    kept = [line for line in saved(empty, backend).splitlines() if line.startswith("-A")]
    assert kept == [line for line in before.splitlines() if line.startswith("-A")]


def test_a_rule_that_was_changed_is_set_again(empty: Node) -> None:
    assert empty.intercept().returncode == 0
    rules = saved(empty, "nft")
    empty.run("iptables-nft", "-I", "CASA_OUTPUT", "1", "-j", "ACCEPT", user=None)
    empty.run("ip6tables-nft", "-t", "nat", "-D", "OUTPUT", "-j", "CASA_OUTBOUND", user=None)
    assert saved(empty, "nft") != rules
    assert empty.intercept().returncode == 0
    assert saved(empty, "nft") == rules


def test_the_backend_in_use_is_found(empty: Node) -> None:
    assert empty.intercept("--backend", "legacy").returncode == 0
    assert empty.intercept().returncode == 0
    assert "CASA" not in saved(empty, "nft")


def test_a_family_that_fails_leaves_the_other_closed(empty: Node) -> None:
    """Without ip6tables the command fails and says so, and IPv4 is set all the same."""
    # The tools of both families are one program under many names: a search path of our own hides those of IPv6.
    masked = "d=$(mktemp -d); for t in save restore; do ln -s $(command -v iptables-nft-$t) $d/; "
    masked += "printf '#!/bin/sh\\nexit 3\\n' >$d/ip6tables-nft-$t; chmod +x $d/ip6tables-nft-$t; done; PATH=$d exec \"$@\""
    command = [str(binary()), "sidecar", "intercept", "--backend", "nft"]
    done = empty.run("bash", "-c", masked, "bash", *command, user=None)
    assert done.returncode == 1
    assert "ipv6: ip6tables-nft-save failed" in done.stderr
    assert "CASA_OUTPUT" in saved(empty, "nft")


def test_a_dry_run_changes_nothing_and_says_all(empty: Node) -> None:
    text = empty.intercept("--resolver", "10.0.0.1", "--dry-run").stdout
    described = json.loads(empty.intercept("--resolver", "10.0.0.1", "--dry-run", "--format", "json").stdout)
    assert "CASA" not in saved(empty, "nft")
    assert empty.intercept("--resolver", "10.0.0.1", "--backend", "nft").returncode == 0
    rules = saved(empty, "nft")
    for family in ("ipv4", "ipv6"):
        for chain in described[family]:
            for rule in chain["rules"]:
                assert f"-A {chain['chain']} {rule}\n" in text
                assert f"-A {chain['chain']} {rule}" in rules.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--proxy-uid", "0"),
        ("--inbound-port", "0"),
        ("--outbound-port", "15006"),
        ("--resolver", "name.example"),
        ("--resolver", "10.0.0.1/8"),
        ("--resolver", "10.0.0.1 -j ACCEPT"),
    ],
)
def test_wrong_use_is_refused(empty: Node, arguments: tuple[str, str]) -> None:
    assert empty.intercept(*arguments).returncode == 64
    assert "CASA" not in saved(empty, "nft")


def test_the_machines_own_network_is_not_touched() -> None:
    done = subprocess.run([str(binary()), "sidecar", "intercept"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "machine's own network" in done.stderr + done.stdout
