"""The programs in Swift that measure from within."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build(product: str) -> None:
    """As `make build` does, so that nothing is compiled twice."""
    subprocess.run(
        ["swift", "build", "-c", "release", "--static-swift-stdlib", "--product", product], cwd=ROOT, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
