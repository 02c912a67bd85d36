"""Mounts all attacks by the first adapter, those on the data plane by each other, and puts the tables together.

    python Tests/EndToEnd/attacks/each_adapter.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from attack_table import RESULTS  # noqa: E402
from casa_stack import adapters  # noqa: E402

DATA_PLANE = "11-26,32,37,44,47,49"
# Where no sidecar takes part: the cluster's controller and injector, and the Explorer in a browser.
WITHOUT_SIDECARS = [str(FOLDER.parent / name) for name in ("kubernetes", "explorer")]


def mount(adapter: str, *arguments: str) -> tuple[bool, list[dict[str, object]]]:
    """Whether all were refused, and how each went."""
    RESULTS.unlink(missing_ok=True)
    print(f"\nattacks by the adapter {adapter}" if adapter else "\nattacks where no sidecar takes part", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "-q", "--attack-table"],
        env={**os.environ, **({"CASA_ADAPTER": adapter} if adapter else {})},
        check=False,
    )
    return done.returncode == 0, json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def main() -> int:
    rows: list[dict[str, object]] = []
    failed = False
    runs = [("", [*WITHOUT_SIDECARS, "--attack-numbers", "39-42"])]
    for number, adapter in enumerate(adapters()):
        folders = [str(FOLDER), *([str(FOLDER.parent / "interception")] if number == 0 else [])]
        runs.append((adapter, [*folders, *([] if number == 0 else ["--attack-numbers", DATA_PLANE])]))
    for adapter, arguments in runs:
        all_refused, mounted = mount(adapter, *arguments)
        failed = failed or not all_refused
        rows += mounted
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    for adapter, count in Counter(row["adapter"] for row in rows).items():
        refused = sum(bool(row["refused"]) for row in rows if row["adapter"] == adapter)
        print(f"{adapter or 'without sidecars'}: {count} mounted, {refused} refused")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
