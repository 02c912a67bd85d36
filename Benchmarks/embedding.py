"""The sentence encoder against sentence-transformers, and with 8-bit against floating point numbers, in turns on one
core. Runs alone too: `embedding.py` prints it.

sentence-transformers is measured in a process of its environment, which runs this file with `--peer`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import building

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models/all-MiniLM-L6-v2"
PEER = ROOT / ".venv-peer/sentence-transformers/bin/python"
OURS = ROOT / ".build/release/TimedEncoder"
WORDS = "please pay the rent to my landlord and tell him that the other bill will follow when my salary is there".split()


def text_of(tokens: int) -> str:
    """A text of so many tokens: each word is one, and two begin and end it."""
    return " ".join(WORDS[index % len(WORDS)] for index in range(tokens - 2))


# Name, texts at once, and how often.
CASES = [("", [text_of(64)], 200), ("_short", [text_of(12)], 300), ("_batch_32", [text_of(64)] * 32, 15)]
# Tokens of one text, and how often.
INT8_CASES = [(12, 300), (64, 200), (128, 100)]


def peer(folder: str) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(folder, device="cpu")
    for line in sys.stdin:
        texts = json.loads(line)
        start = time.perf_counter_ns()
        embeddings = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        print(time.perf_counter_ns() - start, *map(float, embeddings[-1]), flush=True)


def start(command: list[str]) -> subprocess.Popen[str]:
    core = str(max(os.sched_getaffinity(0)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        ["taskset", "-c", core, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment,
    )  # fmt: skip


def timed(process: subprocess.Popen[str], texts: list[str]) -> tuple[float, list[float]]:
    """In milliseconds, and the last embedding."""
    sent: IO[str] | None = process.stdin
    answers: IO[str] | None = process.stdout
    assert sent and answers
    sent.write(json.dumps(texts) + "\n")
    sent.flush()
    fields = answers.readline().split()
    if not fields:
        raise RuntimeError(f"{process.args} ended")
    return int(fields[0]) / 1e6, [float(field) for field in fields[1:]]


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def results() -> Iterator["Result"]:  # noqa: F821
    building.build("TimedEncoder")
    if PEER.exists():
        yield from results_against_peer()
    else:
        print("SKIPPED encoder: sentence-transformers is not installed", file=sys.stderr)
    yield from results_of_int8()


def results_against_peer() -> Iterator["Result"]:  # noqa: F821
    from results import Result

    ours = start([str(OURS), str(MODEL), "float32"])
    theirs = start([str(PEER), __file__, "--peer", str(MODEL)])
    try:
        for name, texts, count in CASES:
            a: list[float] = []
            b: list[float] = []
            for index in range(count + 5):
                mine, embedding = timed(ours, texts)
                other, expected = timed(theirs, texts)
                if max(abs(x - y) for x, y in zip(embedding, expected, strict=True)) > 1e-4:
                    raise RuntimeError("the two computed different embeddings")
                if index >= 5:
                    a.append(mine)
                    b.append(other)
            yield Result(
                f"encoder{name}_vs_sentence_transformers", len(texts) * 1000 / quantile(a, 0.5), "texts/s on one core",
                "sentence-transformers", len(texts) * 1000 / quantile(b, 0.5), quantile(a, 0.5), quantile(a, 0.99),
                quantile(b, 0.5), quantile(b, 0.99),
            )  # fmt: skip
        yield Result("encoder_resident_memory", peak_memory(ours), "MB at most")
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()


def results_of_int8() -> Iterator["Result"]:  # noqa: F821
    from results import Result

    integers = start([str(OURS), str(MODEL), "int8"])
    floats = start([str(OURS), str(MODEL), "float32"])
    try:
        for tokens, count in INT8_CASES:
            a: list[float] = []
            b: list[float] = []
            for index in range(count + 5):
                mine, embedding = timed(integers, [text_of(tokens)])
                other, expected = timed(floats, [text_of(tokens)])
                # Both have the length 1.
                if sum(x * y for x, y in zip(embedding, expected, strict=True)) < 0.995:
                    raise RuntimeError("the embedding by 8-bit numbers is too far from the exact one")
                if index >= 5:
                    a.append(mine)
                    b.append(other)
            yield Result(
                f"encoder_int8_{tokens}_tokens", 1000 / quantile(a, 0.5), "texts/s on one core", "float32",
                1000 / quantile(b, 0.5), quantile(a, 0.5), quantile(a, 0.99), quantile(b, 0.5), quantile(b, 0.99),
            )  # fmt: skip
        yield Result(
            "encoder_int8_resident_memory", peak_memory(integers), "MB at most", "float32", peak_memory(floats)
        )
    finally:
        for process in (integers, floats):
            process.kill()
            process.wait()


def peak_memory(process: subprocess.Popen[str]) -> float:
    """In megabytes, of a process that runs."""
    return int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2])
    else:
        for result in results():
            print(result.line(), json.dumps(result.json()), flush=True)
