"""What a measurement found, as it is printed and stored."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from load import Load, median

SECONDS = int(os.environ.get("CASA_BENCH_SECONDS", "5"))
ROUNDS = int(os.environ.get("CASA_BENCH_ROUNDS", "3"))

Json = dict[str, Any]


@dataclass
class Result:
    name: str
    value: float
    unit: str
    baseline: str | None = None
    baseline_value: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    baseline_p50_ms: float | None = None
    baseline_p99_ms: float | None = None
    paired_ratio: float | None = None
    """To the baseline, as it was in the middle of the pairs that were measured one beside the other."""

    @staticmethod
    def of(name: str, unit: str, found: Load, label: str | None = None, baseline: Load | None = None) -> Result:
        """What a load found, against what another did."""
        return Result(
            name, found.per_second, unit, label, baseline.per_second if baseline else None, found.p50_ms, found.p99_ms,
            baseline.p50_ms if baseline else None, baseline.p99_ms if baseline else None,
        )  # fmt: skip

    @staticmethod
    def of_pairs(
        name: str, unit: str, found: Sequence[Load], label: str, baseline: Sequence[Load]
    ) -> Result:
        """The same of many short loads in turns: a machine that is fast at one time and slow at another is so to both."""
        result = Result.of(name, unit, median(found), label, median(baseline))
        result.paired_ratio = median_ratio([each.per_second for each in found], [each.per_second for each in baseline])
        return result

    @property
    def ratio(self) -> float | None:
        if self.paired_ratio is not None:
            return self.paired_ratio
        return self.value / self.baseline_value if self.baseline_value else None

    def json(self) -> Json:
        return {
            "name": self.name, "value": rounded(self.value), "unit": self.unit, "baseline": self.baseline,
            "baselineValue": rounded(self.baseline_value), "ratio": rounded(self.ratio, 4),
            "p50Ms": rounded(self.p50_ms, 3), "p99Ms": rounded(self.p99_ms, 3),
            "baselineP50Ms": rounded(self.baseline_p50_ms, 3), "baselineP99Ms": rounded(self.baseline_p99_ms, 3),
        }  # fmt: skip

    def line(self) -> str:
        ratio = f"{self.ratio:7.1%} of {self.baseline_value:,.0f} ({self.baseline})" if self.ratio else ""
        latency = f"p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms" if self.p50_ms is not None else ""
        if self.baseline_p99_ms is not None:
            latency += f" (its p50 {self.baseline_p50_ms:.2f} ms, p99 {self.baseline_p99_ms:.2f} ms)"
        return f"{self.name:40} {self.value:12,.1f} {self.unit:22} {ratio:58} {latency}".rstrip()


def median_ratio(found: Sequence[float], baseline: Sequence[float]) -> float:
    """Of what was measured in pairs."""
    return statistics.median(one / other for one, other in zip(found, baseline, strict=True))


def rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
