"""Mounts the attacks with one layer on and the other two off, and writes down which of them it stops by itself.

    python Tests/EndToEnd/attacks/each_layer.py             # all of it, as root; `make matrix`
    python Tests/EndToEnd/attacks/each_layer.py --document  # only the table in docs/threat-model.md, from layers.json

A layer that does not stop an attack is a finding, not a failure: three layers are there because each stops what others
let through.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
LAYERS = FOLDER / "layers.json"
DOCUMENT = ROOT / "docs/threat-model.md"
BEGIN, END = "<!-- measured by make matrix -->", "<!-- end of what was measured -->"
Row = dict[str, Any]

NAMES = {
    1: "forged header: `alg`, `kid`, `jku`, `jwk`",
    2: "expired, early, another issuer, audience, type or tenant",
    3: "signature of another payload, truncated, other encoding",
    4: "token of another kind or call, or used again",
    5: "exchange for more than the subject has",
    6: "token that was delivered to another workload",
    7: "revoked token",
    8: "introspection by strangers, or as an oracle",
    9: "secrets in logs, errors, traces",
    10: "client assertion replayed",
    11: "trace context: none, malformed, another session's",
    12: "header fields in disguise",
    13: "path in disguise",
    14: "host in disguise",
    15: "body that two readers read differently",
    16: "HTTP/2 floods and lists",
    17: "upgrades and tunnels",
    18: "what is not HTTP",
    19: "JSON-RPC batch",
    20: "JSON in disguise",
    21: "method in disguise",
    22: "tool's name in disguise",
    23: "tool changed, poisoned or shadowed",
    24: "session or stream of another client",
    25: "MCP methods round the tool check",
    26: "A2A from outside the system, false card",
    27: "call that the LLM never selected",
    28: "call that an injection led the LLM to",
    29: "right tool, the attacker's arguments",
    30: "task that is padded, huge or instructs the verifier",
    31: "near misses until one passes",
    32: "LLM that is down, slow or answers garbage",
    33: "connection past the proxy, in every way",
    34: "LLM's name: forged, chained, expired, shared",
    35: "data in DNS questions",
    36: "header split over segments",
    37: "killing or stopping a part",
    38: "token carried elsewhere",
    39: "workload at the administrator's API",
    40: "object names another namespace's workload",
    41: "injection skipped by a label",
    42: "markup in what the Explorer shows",
    43: "SQL in filters",
    44: "exhaustion of resources",
    45: "selections that the agent makes up",
    46: "system registered again",
    47: "LLM answers that hide a call",
    48: "identity in header fields",
    49: "chain of agents that widens",
    50: "one refused call of several yields a token",
}

# Why a layer has no say in an attack. What stands in no table and was not measured is called so.
NO_SAY: dict[str, dict[str, str]] = {
    "runtime": {
        "11-22,24-26": "the request never reaches it",
        "16-18": "the request never reaches it",
        "33-36": "it sees no packets",
        "47,32": "it reads no answers of LLMs",
        "37": "what its silence means is for those to say who ask it",
    },
    "proxy": {
        "5,8,10": "it is mounted at the runtime's API",
        "9,42,43,46": "it concerns the runtime",
        "34-36": "the app's packets are not its own",
        "39": "no sidecar leads to the runtime's API",
        "38": "it stops no packet that goes round it",
    },
    "kernel": {
        "9,42,43": "it concerns the runtime",
        "32": "it reads no answers of LLMs",
    },
}


def numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def pytest_rows(layer: str, *arguments: str) -> list[Row]:
    """The rows of a run with this layer alone."""
    results = ROOT / f".build/attacks-{layer}.json"
    results.unlink(missing_ok=True)
    environment = {**os.environ, "CASA_LAYER": layer, "CASA_ATTACK_RESULTS": str(results)}
    command = [sys.executable, "-m", "pytest", *arguments, "-q", "--attack-table", "--tb=no", "-p", "no:cacheprovider"]
    subprocess.run(command, env=environment, cwd=ROOT, check=False)
    return list(json.loads(results.read_text()))


def measure() -> list[Row]:
    attacks, tests = str(FOLDER), FOLDER.parent
    packets = str(tests / "interception")
    rows = pytest_rows("proxy", attacks, packets, "--attack-numbers", "1-33,37,40-41,44-45,47-50")
    browser = str(tests / "explorer")
    rows += pytest_rows("runtime", attacks, browser, "--attack-numbers", "1-10,23,27-31,38-46,48-50")
    for row in rows:
        # Packet rules are the sidecar's own (`casa sidecar intercept`).
        if row["layer"] == "proxy" and row["evidence"] == "refused, and nothing arrived":
            row["evidence"] = "packet rules"
    rows += pytest_rows("kernel", str(tests / "node"), "--attack-numbers", "33-38,40-41,44")
    results = ROOT / ".build/attacks-kernel-alone.json"
    subprocess.run([sys.executable, str(FOLDER / "kernel_alone.py"), str(results)], cwd=ROOT, check=True)
    rows += json.loads(results.read_text())
    return rows + pytest_rows("cluster", str(tests / "kubernetes"), "--attack-numbers", "40-41")


def of(layer: str, attack: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["layer"] == layer and row["attack"] == attack]


def cell(layer: str, attack: int, rows: list[Row]) -> Row:
    """What was measured of one attack and one layer, and which cases are not its business, by why."""
    found = of(layer, attack, rows)
    mine = [row for row in found if row["outcome"] in ("stopped", "passed")]
    elsewhere: dict[str, list[str]] = {}
    for row in found:
        if row["outcome"] == "elsewhere" and row["case"] not in elsewhere.setdefault(row["evidence"], []):
            elsewhere[row["evidence"]].append(row["case"])
    others = {"elsewhere": elsewhere} if elsewhere else {}
    if mine:
        passed = sorted({row["case"] for row in mine if row["outcome"] == "passed"})
        stopped = sum(row["outcome"] == "stopped" for row in mine)
        return {"stopped": stopped, "mounted": len(mine), "passed": passed, **others}
    why = next((why for text, why in NO_SAY[layer].items() if attack in numbers(text)), None)
    said = {"no_say": why} if why else {"not_measured": "no test mounts it at this layer alone"}
    return {**said, **others}


def matrix(rows: list[Row]) -> Row:
    layers = ("kernel", "proxy", "runtime")
    # By name alone: what came instead may hold a token.
    unclear = [f"{row['layer']} {row['attack']}: {row['case']}" for row in rows if row["outcome"] == "unclear"]
    cells = {str(attack): {layer: cell(layer, attack, rows) for layer in layers} for attack in NAMES}
    cluster = {str(attack): cell("cluster", attack, rows) for attack in NAMES if of("cluster", attack, rows)}
    return {"attacks": cells, "cluster": cluster, "unclear": unclear}


def text(measured: Row) -> str:
    if "no_say" in measured:
        return f"– {measured['no_say']}"
    if "not_measured" in measured:
        return f"not measured: {measured['not_measured']}"
    stopped, mounted = measured["stopped"], measured["mounted"]
    verdict = "**stops**" if stopped == mounted else "does not" if stopped == 0 else "in part"
    return f"{verdict} ({stopped}/{mounted})"


def table(found: Row) -> str:
    lines = ["| | attack | kernel alone | proxy alone | runtime alone |", "|---|---|---|---|---|"]
    for number, cells in found["attacks"].items():
        texts = [text(cells[layer]) for layer in ("kernel", "proxy", "runtime")]
        lines.append(f"| {number} | {NAMES[int(number)]} | {' | '.join(texts)} |")
    lines += ["", "Before any layer, by the cluster's admission and controller:", ""]
    lines += [f"- {number}, {NAMES[int(number)]}: {text(measured)}" for number, measured in found["cluster"].items()]
    if found["unclear"]:
        lines += ["", f"Not understood, and counted nowhere: {'; '.join(found['unclear'])}."]
    return "\n".join(lines)


def document(found: Row) -> str:
    """The document's text with the table of what was found."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}"


def main() -> int:
    if "--document" not in sys.argv:
        assert os.geteuid() == 0, "the kernel's layer is measured as root"
        began = time.monotonic()
        rows = measure()
        (ROOT / ".build/layers-rows.json").write_text(json.dumps(rows, indent=1) + "\n")
        LAYERS.write_text(json.dumps(matrix(rows), indent=1, ensure_ascii=False) + "\n")
        print(f"\nmeasured in {(time.monotonic() - began) / 60:.0f} minutes")
    found = json.loads(LAYERS.read_text())
    DOCUMENT.write_text(document(found))
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
