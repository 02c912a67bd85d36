"""Merge patches, plain and strategic."""

from __future__ import annotations

from typing import Any

import fields


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge_patch(out.get(name), value)
    return out


def strategic_patch(target: Any, patch: Any, node: fields.Node) -> Any:
    """A strategic merge patch: as a merge patch, but for lists that are merged by keys."""
    if isinstance(patch, dict):
        out = dict(target) if isinstance(target, dict) else {}
        for name, value in patch.items():
            if name.startswith("$"):
                continue
            if value is None:
                out.pop(name, None)
            else:
                out[name] = strategic_patch(out.get(name), value, node.child(name))
        return out
    if isinstance(patch, list) and isinstance(target, list) and isinstance(keys := node.keys(patch or target), tuple):
        out_list = list(target)
        for element in patch:
            key = fields.key_of(element, keys)
            here = next((i for i, old in enumerate(out_list) if fields.key_of(old, keys) == key), None)
            if isinstance(element, dict) and element.get("$patch") == "delete":
                if here is not None:
                    out_list.pop(here)
            elif here is None:
                out_list.append(element)
            else:
                out_list[here] = strategic_patch(out_list[here], element, node.element())
        return out_list
    return patch
