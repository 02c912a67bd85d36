"""The system that is attacked, and what a test of an attack asserts with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from attack_table import ATTEMPT
from attempts import Attempt, Revocation
from casa_runtime import free_port
from casa_stack import Endpoints, Stack
from layer_alone import stack_of
from llm_front import LLMFront


@pytest.fixture(scope="session")
def llm_front() -> Iterator[LLMFront]:
    """What stands before the stack's LLM."""
    front = LLMFront(free_port(), free_port())
    yield front
    front.close()


@pytest.fixture(scope="session")
def stack(llm_front: LLMFront, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The banking example behind real Envoys, with something before its LLM that can answer badly."""
    made = stack_of(
        tmp_path_factory.mktemp("stack"),
        adapter=os.environ.get("CASA_ADAPTER"),
        llm_port=llm_front.upstream,
        endpoints=Endpoints(llm_app=llm_front.port),
    )
    with made.running():
        yield made


@pytest.fixture(scope="session", autouse=True)
def revocation(stack: Stack) -> Iterator[Revocation]:
    """A T1 that was revoked at the very start, and since when its children are refused."""
    watched = Revocation(stack)
    watched.begin()
    yield watched
    watched.end()


@pytest.fixture
def undisturbed(revocation: Revocation) -> None:
    """The revoked session has ended: nothing of it needs a part, or reaches the bank, from now on."""
    revocation.settle()


@pytest.fixture
def attempt(request: pytest.FixtureRequest, stack: Stack) -> Attempt:
    """What a test of an attack asserts with."""
    made = Attempt(stack)
    request.node.stash[ATTEMPT] = made
    return made
