"""Who owns which field of an object: server-side apply as the API server does it, on plain JSON.

A path is a tuple of steps: `("f", name)`, `("k", keys as JSON)` for an element of a list that is merged by keys,
`("v", value as JSON)` for one of a set, and a last `(".",)` for such an element itself.
"""

from __future__ import annotations

import json
from typing import Any

Path = tuple[tuple[str, ...], ...]

IDENTITY = {
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "selfLink", "managedFields", "generateName",
}  # fmt: skip

# The lists of built-in kinds that are merged by keys, by the name of the field.
KEYED = {
    "containers": ("name",), "initContainers": ("name",), "ephemeralContainers": ("name",), "volumes": ("name",),
    "env": ("name",), "volumeMounts": ("mountPath",), "ownerReferences": ("uid",), "conditions": ("type",),
    "imagePullSecrets": ("name",), "webhooks": ("name",), "topologySpreadConstraints": ("topologyKey",),
}  # fmt: skip
ATOMIC_MAPS = {"selector", "labelSelector", "podSelector", "namespaceSelector", "objectSelector", "fieldsV1"}


class Node:
    """What is known of the values at one place: a CRD's schema, or only the field's name."""

    __slots__ = ("name", "schema", "is_typed")

    def __init__(self, name: str = "", schema: dict | None = None, is_typed: bool = False):
        self.name, self.schema, self.is_typed = name, schema, is_typed

    def child(self, name: str) -> Node:
        if self.schema is None:
            return Node(name, None, self.is_typed)
        inner = self.schema.get("properties", {}).get(name)
        if inner is None:
            rest = self.schema.get("additionalProperties")
            inner = rest if isinstance(rest, dict) else None
        # What no schema tells is free-form JSON.
        return Node(name, inner, self.is_typed and inner is None and name == "metadata")

    def element(self) -> Node:
        if self.schema is None:
            return Node("", None, self.is_typed)
        inner = self.schema.get("items")
        return Node("", inner if isinstance(inner, dict) else None, False)

    def is_atomic_map(self) -> bool:
        if self.schema is not None:
            return self.schema.get("x-kubernetes-map-type") == "atomic"
        return self.is_typed and self.name in ATOMIC_MAPS

    def keys(self, values: list) -> tuple[str, ...] | str | None:
        """The keys that elements are merged by, `set`, or None for a list that is one value."""
        if self.schema is not None:
            kind = self.schema.get("x-kubernetes-list-type")
            if kind == "map":
                return tuple(self.schema["x-kubernetes-list-map-keys"])
            return "set" if kind == "set" else None
        if not self.is_typed:
            return None
        if self.name == "finalizers":
            return "set"
        if self.name == "ports" and values and all(isinstance(value, dict) for value in values):
            return ("containerPort", "protocol") if "containerPort" in values[0] else ("port", "protocol")
        return KEYED.get(self.name)


def key_of(element: Any, keys: tuple[str, ...]) -> str:
    named = {key: element.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return json.dumps(named, separators=(",", ":"), sort_keys=True)


def leaves(value: Any, node: Node, path: Path = (), into: dict[Path, Any] | None = None) -> dict[Path, Any]:
    """The value at each path that somebody can own."""
    out: dict[Path, Any] = {} if into is None else into
    if isinstance(value, dict):
        if node.is_atomic_map() or (not value and path):
            out[path] = value
        else:
            for name, inner in value.items():
                leaves(inner, node.child(name), (*path, ("f", name)), out)
    elif isinstance(value, list):
        keys = node.keys(value)
        if keys is None or not value:
            out[path] = value
        elif keys == "set":
            for element in value:
                out[(*path, ("v", json.dumps(element)))] = element
        else:
            inner_node = node.element()
            for element in value:
                inner_path = (*path, ("k", key_of(element, keys)))
                out[(*inner_path, (".",))] = True
                leaves(element, inner_node, inner_path, out)
    else:
        out[path] = value
    return out


def owned(obj: dict, root: Node, subresource: str = "") -> dict[Path, Any]:
    """What of an object can be owned: neither what it is found by nor what the server sets."""
    out: dict[Path, Any] = {}
    if subresource == "status":
        if "status" in obj:
            leaves(obj["status"], root.child("status"), (("f", "status"),), out)
        return out
    for name, value in obj.items():
        if name in ("apiVersion", "kind"):
            continue
        if name == "metadata":
            node = Node("metadata", None, True)
            for inner, content in value.items():
                if inner not in IDENTITY:
                    leaves(content, node.child(inner), (("f", "metadata"), ("f", inner)), out)
            continue
        leaves(value, root.child(name), (("f", name),), out)
    return out


def merge(live: Any, applied: Any, node: Node) -> Any:
    """`live` with the fields of `applied`; neither is changed."""
    if isinstance(live, dict) and isinstance(applied, dict) and not node.is_atomic_map():
        return {**live, **{
            name: merge(live[name], value, node.child(name)) if name in live else value
            for name, value in applied.items()
        }}  # fmt: skip
    if isinstance(live, list) and isinstance(applied, list):
        keys = node.keys(applied or live)
        if keys == "set":
            return live + [value for value in applied if value not in live]
        if keys:
            coming = {key_of(value, keys): value for value in applied}
            element = node.element()
            out = []
            for value in live:
                new = coming.pop(key_of(value, keys), None)
                out.append(value if new is None else merge(value, new, element))
            return out + list(coming.values())
    return applied


def remove(live: Any, path: Path, node: Node) -> Any:
    """`live` without what is at `path`, and without containers that are empty by that; None when nothing is left."""
    if not path:
        return None
    kind = path[0][0]
    if kind == "f" and isinstance(live, dict):
        name = path[0][1]
        if name not in live:
            return live
        left = remove(live[name], path[1:], node.child(name))
        if left is None:
            return {key: value for key, value in live.items() if key != name} or None
        return {**live, name: left}
    if kind == "v" and isinstance(live, list):
        return [value for value in live if json.dumps(value) != path[0][1]] or None
    if kind == "k" and isinstance(live, list):
        keys = node.keys(live)
        if not isinstance(keys, tuple):
            return live
        out = []
        for value in live:
            if key_of(value, keys) == path[0][1]:
                if len(path) == 1 or path[1] == (".",):
                    continue
                value = remove(value, path[1:], node.element())
                if value is None:
                    continue
            out.append(value)
        return out or None
    return live


def encode(paths: set[Path]) -> dict:
    """FieldsV1."""
    tree: dict = {}
    for path in sorted(paths):
        here = tree
        for step in path:
            here = here.setdefault("." if step[0] == "." else f"{step[0]}:{step[1]}", {})
    return tree
