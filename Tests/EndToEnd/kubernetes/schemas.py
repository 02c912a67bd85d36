"""The schemas of CRDs: which are structural, what fits them, what they add and leave out."""

from __future__ import annotations

import json
from typing import Any

from refusals import Refused


def json_schema(schema: dict) -> dict:
    """A structural schema as JSON Schema."""
    out: dict = {}
    for name, value in schema.items():
        if name in ("properties", "patternProperties"):
            out[name] = {key: json_schema(inner) for key, inner in value.items()}
        elif name in ("items", "additionalProperties", "not") and isinstance(value, dict):
            out[name] = json_schema(value)
        elif name in ("allOf", "anyOf", "oneOf"):
            out[name] = [json_schema(inner) for inner in value]
        elif name in ("exclusiveMinimum", "exclusiveMaximum"):
            if value:
                bound = "minimum" if name == "exclusiveMinimum" else "maximum"
                out[name] = schema[bound]
        elif not name.startswith("x-kubernetes-") and name not in ("nullable", "default", "example", "description"):
            out[name] = value
    for inclusive, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in out:
            out.pop(inclusive, None)
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out["type"] = ["integer", "string"]
    if schema.get("nullable") and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if isinstance(out.get("enum"), list) and schema.get("nullable"):
        out["enum"] = [*out["enum"], None]
    return out


def check_structural(schema: dict, path: str = "openAPIV3Schema", within_logic: bool = False) -> None:
    """Refuses what the API server refuses of a CRD's schema: it must be structural."""
    allowed = {
        "type", "properties", "items", "additionalProperties", "required", "enum", "pattern", "format", "minimum",
        "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
        "maxItems", "uniqueItems", "minProperties", "maxProperties", "description", "title", "default", "nullable",
        "allOf", "anyOf", "oneOf", "not", "example", "externalDocs",
    }  # fmt: skip
    for name in schema:
        if name not in allowed and not name.startswith("x-kubernetes-"):
            raise Refused(422, f"{path}.{name}: is not a field of a structural schema")
    is_free = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if not within_logic and "type" not in schema and not is_free:
        raise Refused(422, f"{path}.type: Required value: must not be empty for specified object fields")
    if "properties" in schema and isinstance(schema.get("additionalProperties"), (dict, bool)):
        raise Refused(422, f"{path}.additionalProperties: Forbidden: additionalProperties and properties are exclusive")
    if schema.get("type") == "array" and "items" not in schema and not within_logic:
        raise Refused(422, f"{path}.items: Required value: must be specified")
    if schema.get("uniqueItems"):
        raise Refused(422, f"{path}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
                           "complexity becomes quadratic")
    if within_logic:
        for name in ("type", "default", "nullable", "description", "title", "additionalProperties"):
            if name in schema:
                raise Refused(422, f"{path}.{name}: Forbidden: must be empty to be structural")
    for name, inner in schema.get("properties", {}).items():
        check_structural(inner, f"{path}.properties[{name}]", within_logic)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            check_structural(schema[name], f"{path}.{name}", within_logic)
    for name in ("allOf", "anyOf", "oneOf"):
        if not schema.get("x-kubernetes-int-or-string"):
            for index, inner in enumerate(schema.get(name, [])):
                check_structural(inner, f"{path}.{name}[{index}]", True)
    if isinstance(schema.get("not"), dict):
        check_structural(schema["not"], f"{path}.not", True)


def shape(value: Any, schema: dict | None, unknown: list[str] | None = None, path: str = "") -> Any:
    """`value` without what the schema does not know, and with its defaults."""
    if schema is None:
        return value
    if isinstance(value, dict):
        if "properties" not in schema and "additionalProperties" not in schema:
            if schema.get("x-kubernetes-preserve-unknown-fields"):
                return value
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        keeps = schema.get("x-kubernetes-preserve-unknown-fields")
        out = {}
        for name, inner in value.items():
            if name in properties:
                if inner is None and not properties[name].get("nullable") and "default" in properties[name]:
                    continue
                out[name] = shape(inner, properties[name], unknown, f"{path}.{name}")
            elif rest:
                out[name] = shape(inner, rest if isinstance(rest, dict) else None, unknown, f"{path}.{name}")
            elif keeps:
                out[name] = inner
            elif unknown is not None:
                unknown.append(f"{path}.{name}"[1:])
        for name, inner in properties.items():
            if name not in out and "default" in inner:
                out[name] = shape(json.loads(json.dumps(inner["default"])), inner)
        return out
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [shape(inner, schema["items"], unknown, f"{path}[{index}]") for index, inner in enumerate(value)]
    return value
