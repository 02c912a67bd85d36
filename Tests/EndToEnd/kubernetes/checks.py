"""What the fake API server checks and adds of built-in kinds: what a controller gets wrong most easily."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import TYPE_CHECKING, Any

from refusals import Refused

if TYPE_CHECKING:
    from fake_api import Resource

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
QUALIFIED = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def need(condition: Any, path: str, what: str) -> None:
    if not condition:
        raise Refused(422, f"{path}: {what}")


def check_labels(labels: Any, path: str) -> None:
    need(isinstance(labels, dict), path, "must be a map of strings")
    for name, value in labels.items():
        need(QUALIFIED.fullmatch(name) and len(name.split("/")[-1]) <= 63, path, f"Invalid value: {name!r}: is no name")
        need(isinstance(value, str) and len(value) <= 63 and _LABEL_VALUE.fullmatch(value), f"{path}.{name}",
              f"Invalid value: {value!r}: a valid label must be an empty string or consist of alphanumeric characters")


def check_metadata(resource: Resource, metadata: dict) -> None:
    name = metadata.get("name", "")
    need(isinstance(name, str) and 0 < len(name) <= 253, "metadata.name",
         "Required value: name or generateName is required")
    pattern = _LABEL_NAME if resource.is_label else _NAME
    if not resource.group.startswith("rbac."):
        need(pattern.fullmatch(name) and (not resource.is_label or len(name) <= 63), "metadata.name",
              f"Invalid value: {name!r}: a lowercase RFC 1123 subdomain is expected")
    if "labels" in metadata:
        check_labels(metadata["labels"], "metadata.labels")
    annotations = metadata.get("annotations", {})
    need(isinstance(annotations, dict), "metadata.annotations", "must be a map of strings")
    for key, value in annotations.items():
        need(QUALIFIED.fullmatch(key), "metadata.annotations", f"Invalid value: {key!r}")
        if not isinstance(value, str):
            raise Refused(400, f"json: cannot unmarshal into metadata.annotations.{key} of type string")
    need(sum(len(key) + len(value) for key, value in annotations.items()) <= 256 << 10, "metadata.annotations",
          "Too long: must have at most 262144 bytes")
    for index, owner in enumerate(metadata.get("ownerReferences", [])):
        for member in ("apiVersion", "kind", "name", "uid"):
            need(isinstance(owner.get(member), str) and owner[member], f"metadata.ownerReferences[{index}].{member}",
                  "Required value: must not be empty")
        unknown = set(owner) - {"apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"}
        need(not unknown, f"metadata.ownerReferences[{index}]", f"unknown field {unknown}")
    controllers = [owner for owner in metadata.get("ownerReferences", []) if owner.get("controller")]
    need(len(controllers) <= 1, "metadata.ownerReferences", "Only one reference can have Controller set to true")
    for finalizer in metadata.get("finalizers", []):
        need(isinstance(finalizer, str) and "/" in finalizer or finalizer in (
            "foregroundDeletion", "orphan", "kubernetes"), "metadata.finalizers",
            f"Invalid value: {finalizer!r}: name is neither a standard finalizer name nor is it fully qualified")


def check_pod_spec(spec: Any, path: str) -> None:
    need(isinstance(spec, dict), path, "Required value")
    need(spec.get("containers"), f"{path}.containers", "Required value")
    names: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind, [])):
            place = f"{path}.{kind}[{index}]"
            need(_LABEL_NAME.fullmatch(container.get("name", "")), f"{place}.name", "Invalid value")
            need(container.get("image"), f"{place}.image", "Required value")
            need(container["name"] not in names, f"{place}.name", "Duplicate value")
            names.add(container["name"])
            volumes = {volume.get("name") for volume in spec.get("volumes", [])}
            for mount in container.get("volumeMounts", []):
                need(mount.get("name") in volumes, f"{place}.volumeMounts", f"Not found: {mount.get('name')!r}")


def check_kind(resource: Resource, obj: dict) -> None:
    spec = obj.get("spec")
    match resource.kind:
        case "Secret" | "ConfigMap":
            data = obj.get("data") or {}
            size = 0
            for key, value in data.items():
                need(_DATA_KEY.fullmatch(key), f"data[{key}]", "Invalid value: a valid config key is expected")
                if not isinstance(value, str):
                    raise Refused(400, f"json: cannot unmarshal into data.{key}")
                if resource.kind == "Secret":
                    try:
                        size += len(base64.b64decode(value, validate=True))
                    except binascii.Error as error:
                        raise Refused(400, f"illegal base64 data in data.{key}") from error
                else:
                    size += len(value)
            need(size <= 1 << 20, "data", "Too long: may not be more than 1048576 bytes")
        case "Service":
            need(isinstance(spec, dict), "spec", "Required value")
            if spec.get("type") != "ExternalName":
                need(spec.get("ports") or spec.get("clusterIP") == "None", "spec.ports", "Required value")
            for index, port in enumerate(spec.get("ports", [])):
                need(isinstance(port.get("port"), int) and 0 < port["port"] < 65536, f"spec.ports[{index}].port",
                      "Invalid value: must be between 1 and 65535, inclusive")
                need(len(spec["ports"]) == 1 or port.get("name"), f"spec.ports[{index}].name", "Required value")
        case "Deployment" | "StatefulSet" | "ReplicaSet" | "DaemonSet":
            need(isinstance(spec, dict), "spec", "Required value")
            selector = spec.get("selector", {}).get("matchLabels")
            need(selector, "spec.selector", "Required value")
            labels = spec.get("template", {}).get("metadata", {}).get("labels", {})
            need(selector.items() <= labels.items(), "spec.template.metadata.labels",
                  "Invalid value: `selector` does not match template `labels`")
            check_pod_spec(spec["template"].get("spec"), "spec.template.spec")
        case "Pod":
            check_pod_spec(spec, "spec")
        case "Lease":
            spec = spec or {}
            for name in ("acquireTime", "renewTime"):
                if spec.get(name) is not None and not _MICRO_TIME.fullmatch(str(spec[name])):
                    raise Refused(400, f"parsing time {spec[name]!r} in spec.{name} as a MicroTime")
            if spec.get("leaseDurationSeconds") is not None:
                need(spec["leaseDurationSeconds"] > 0, "spec.leaseDurationSeconds", "must be greater than 0")
            need((spec.get("leaseTransitions") or 0) >= 0, "spec.leaseTransitions", "must be at least 0")
        case "Event":
            involved = obj.get("involvedObject")
            need(isinstance(involved, dict), "involvedObject", "Required value")
            place = involved.get("namespace") or "default"
            need(obj["metadata"].get("namespace") == place, "involvedObject.namespace",
                  "Invalid value: does not match event.namespace")
            need(obj.get("type", "Normal") in ("Normal", "Warning"), "type", "Invalid value")
            for name in ("firstTimestamp", "lastTimestamp"):
                if obj.get(name) is not None and not _TIME.fullmatch(str(obj[name])):
                    raise Refused(400, f"parsing time {obj[name]!r} in {name}")
            need(len(obj.get("message", "")) <= 1024, "message", "can have at most 1024 characters")
        case "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration":
            for index, hook in enumerate(obj.get("webhooks", [])):
                for name in ("name", "clientConfig", "sideEffects", "admissionReviewVersions"):
                    need(hook.get(name), f"webhooks[{index}].{name}", "Required value")
                need(hook["name"].count(".") >= 2, f"webhooks[{index}].name",
                      "Invalid value: should be a domain with at least three segments separated by dots")


def set_defaults(resource: Resource, obj: dict, number: int) -> dict:
    match resource.kind:
        case "Secret":
            if text := obj.get("stringData"):
                data = {**(obj.get("data") or {}), **{
                    key: base64.b64encode(value.encode()).decode() for key, value in text.items()
                }}  # fmt: skip
                obj = {**{name: value for name, value in obj.items() if name != "stringData"}, "data": data}
            return {"type": "Opaque", **obj}
        case "Service":
            spec = obj.get("spec", {})
            address = str(ipaddress.ip_address("10.96.0.10") + number % 60_000)
            ports = [
                {"protocol": "TCP", "targetPort": port.get("port"), **port} for port in spec.get("ports", [])
            ]
            spec = {"type": "ClusterIP", "sessionAffinity": "None", **spec, **({"ports": ports} if ports else {})}
            if spec["type"] != "ExternalName":
                spec.setdefault("clusterIP", address)
            return {**obj, "spec": spec}
        case "Namespace":
            metadata = obj["metadata"]
            labels = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
            return {**obj, "metadata": {**metadata, "labels": labels}, "spec": obj.get("spec", {}),
                    "status": obj.get("status", {"phase": "Active"})}
        case "Deployment" | "StatefulSet" | "ReplicaSet":
            return {**obj, "spec": {"replicas": 1, **obj.get("spec", {})}}
    return obj
