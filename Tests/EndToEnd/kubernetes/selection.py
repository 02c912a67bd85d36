"""Which objects a request means, by labels and fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from checks import QUALIFIED
from refusals import Refused

if TYPE_CHECKING:
    from fake_api import Resource


def label_selector(text: str) -> Callable[[dict], bool]:
    """As kubectl's --selector: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`."""
    tests: list[Callable[[dict], bool]] = []
    for part in re.split(r",(?![^(]*\))", text):
        part = part.strip()
        if match := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", part):
            name, values = match[1], {value.strip() for value in match[3].split(",")}
            is_in = match[2] == "in"
            tests.append(lambda labels, n=name, v=values, i=is_in: (labels.get(n) in v) == i)
        elif match := re.fullmatch(r"([^=!\s]+)\s*(==|=|!=)\s*(\S*)", part):
            name, value = match[1], match[3]
            tests.append(lambda labels, n=name, v=value, e=match[2] != "!=": (labels.get(n) == v) == e)
        elif QUALIFIED.fullmatch(part):
            tests.append(lambda labels, n=part: n in labels)
        elif part.startswith("!") and QUALIFIED.fullmatch(part[1:]):
            tests.append(lambda labels, n=part[1:]: n not in labels)
        else:
            raise Refused(400, f"unable to parse requirement: {part!r}")
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


_FIELDS = {
    "Pod": {"spec.nodeName", "status.phase", "status.podIP", "spec.serviceAccountName", "spec.restartPolicy"},
    "Event": {
        "involvedObject.name", "involvedObject.namespace", "involvedObject.uid", "involvedObject.kind",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type",
        "source", "reportingComponent",
    },
    "Secret": {"type"},
    "Namespace": {"status.phase"},
}  # fmt: skip


def field_selector(resource: Resource, text: str) -> Callable[[dict], bool]:
    tests = []
    for part in text.split(","):
        match = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if match is None:
            raise Refused(400, f"invalid field selector: {part!r}")
        name, value, equal = match[1], match[3], match[2] != "!="
        if name not in ("metadata.name", "metadata.namespace") and name not in _FIELDS.get(resource.kind, set()):
            raise Refused(400, f"field label not supported: {name}")

        def test(obj: dict, path=name.split("."), value=value, equal=equal) -> bool:
            here: Any = obj
            for step in path:
                here = here.get(step) if isinstance(here, dict) else None
            return (("" if here is None else here) == value) == equal

        tests.append(test)
    return lambda obj: all(test(obj) for test in tests)
