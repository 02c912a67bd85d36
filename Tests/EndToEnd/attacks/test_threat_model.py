"""The document's table is what was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest
from each_layer import DOCUMENT, LAYERS, NAMES, document


def found() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(LAYERS.read_text())
    return read


@pytest.fixture(scope="session", autouse=True)
def revocation() -> None:
    """None of the system that other tests attack is needed."""


def test_the_document_shows_what_was_measured() -> None:
    assert DOCUMENT.read_text() == document(found()), "run `make matrix`, or each_layer.py --document"


def test_every_attack_of_the_list_has_a_line_and_something_in_every_cell() -> None:
    attacks = found()["attacks"]
    assert {int(number) for number in attacks} == set(NAMES) == set(range(1, 51))
    for number, cells in attacks.items():
        assert set(cells) == {"kernel", "proxy", "runtime"}, number
        for cell in cells.values():
            assert cell.get("mounted") or cell.get("no_say"), number


def test_nothing_that_was_measured_is_unclear() -> None:
    assert found()["unclear"] == []
