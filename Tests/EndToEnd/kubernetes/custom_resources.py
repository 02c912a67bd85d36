"""The custom resource definitions as the API server would apply them: schemas, bounds and CEL rules."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[3]
DEFINITIONS = ROOT / "deploy" / "crds"
EXAMPLES = ROOT / "examples" / "kubernetes"

Schema = dict[str, Any]


@functools.cache
def definition(plural: str) -> dict[str, Any]:
    return yaml.safe_load((DEFINITIONS / f"{plural}.casa.io.yaml").read_text())


def schema_of(plural: str) -> Schema:
    (version,) = definition(plural)["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


PLURALS = {"MultiAgentSystem": "multiagentsystems", "CASAPolicy": "casapolicies"}


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema within a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def _strict(schema: Schema) -> Schema:
    """The schema for a validator of JSON Schema draft 4, which OpenAPI 3.0 follows.

    Fields that are not known are refused here, as `kubectl apply` does with strict validation.
    """
    made = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if "properties" in made:
        made["properties"] = {name: _strict(child) for name, child in made["properties"].items()}
        made["additionalProperties"] = False
    elif isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(made["additionalProperties"])
    if "items" in made:
        made["items"] = _strict(made["items"])
    if made.pop("nullable", False):
        made["type"] = [made["type"], "null"]
    return made


def problems(resource: dict[str, Any]) -> list[str]:
    """What the schema has against an object; the CEL rules are not asked."""
    schema = _strict(schema_of(PLURALS[resource["kind"]]))
    schema["properties"]["metadata"] = {"type": "object"}
    found = [
        f"{'.'.join(str(step) for step in error.absolute_path)}: {error.message}"
        for error in jsonschema.Draft4Validator(schema).iter_errors(resource)
    ]
    return found + list(_duplicates(schema_of(PLURALS[resource["kind"]]), resource, ""))


def _duplicates(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """Elements of a list map that have the same keys."""
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _duplicates(child, value[name], f"{path}.{name}")
    elif isinstance(value, list):
        if schema.get("x-kubernetes-list-type") == "map":
            keys = [tuple(element.get(key) for key in schema["x-kubernetes-list-map-keys"]) for element in value]
            yield from (f"{path}: {key} stands there twice" for key in set(keys) if keys.count(key) > 1)
        for element in value:
            yield from _duplicates(schema.get("items", {}), element, f"{path}[]")


def broken_rules(resource: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """The messages of the CEL rules that an object breaks."""
    return list(_broken(schema_of(PLURALS[resource["kind"]]), resource, old))


def _broken(schema: Schema, value: Any, old: Any) -> Iterator[str]:
    import cel

    for rule in schema.get("x-kubernetes-validations", []):
        if "oldSelf" in rule["rule"]:
            if old is None:
                continue
            context = {"self": value, "oldSelf": old}
        else:
            context = {"self": value}
        if cel.evaluate(rule["rule"], context) is not True:
            yield rule["message"]
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if value.get(name) is not None:
                yield from _broken(child, value[name], (old or {}).get(name))
        if isinstance(schema.get("additionalProperties"), dict):
            for child in value.values():
                yield from _broken(schema["additionalProperties"], child, None)
    elif isinstance(value, list):
        for element in value:
            yield from _broken(schema["items"], element, None)


def read(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]
