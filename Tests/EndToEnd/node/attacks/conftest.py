"""Networks and cgroups for the attacks."""

from __future__ import annotations

import pytest
from workloads import Workload, Workloads


@pytest.fixture
def workload(workloads: Workloads) -> Workload:
    """One that no other test uses; the test's module says by which rules."""
    return workloads.fresh()
