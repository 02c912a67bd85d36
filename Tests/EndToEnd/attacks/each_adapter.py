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

DATA_PLANE = "11-26,32,37,47,49"


def main() -> int:
    rows: list[dict[str, object]] = []
    failed = False
    for number, adapter in enumerate(adapters()):
        folders = [str(FOLDER), *([str(FOLDER.parent / "interception")] if number == 0 else [])]
        chosen = [] if number == 0 else ["--attack-numbers", DATA_PLANE]
        RESULTS.unlink(missing_ok=True)
        print(f"\nattacks by the adapter {adapter}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *folders, "-q", "--attack-table", *chosen],
            env={**os.environ, "CASA_ADAPTER": adapter},
            check=False,
        )
        failed = failed or done.returncode != 0
        if RESULTS.exists():
            rows += json.loads(RESULTS.read_text())
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    for adapter, count in Counter(row["adapter"] for row in rows).items():
        refused = sum(bool(row["refused"]) for row in rows if row["adapter"] == adapter)
        print(f"{adapter}: {count} mounted, {refused} refused")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
