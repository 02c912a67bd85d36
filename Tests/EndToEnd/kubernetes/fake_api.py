#!/usr/bin/env python3
"""A small and strict Kubernetes API server that keeps everything in memory, for tests.

It does what a controller depends on: lists in pages, watches with bookmarks and a history that ends, resource versions
and conflicts, server-side apply with owners of fields, merge patches, the status subresource, generations, finalizers,
owners whose objects are deleted with them, and CRDs with schemas. It is strict where API servers are: unknown paths,
query parameters and content types, missing members and wrong ones are refused. And it breaks on demand: see `Fault`.

    fake_api.py --port 8001 --crds DIRECTORY --kubeconfig PATH [--tls]

Tests run it in a thread: `with FakeAPI() as api: ... api.kubeconfig(path)`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import contextlib
import dataclasses
import datetime
import ipaddress
import json
import pathlib
import random
import socket
import ssl
import struct
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import jsonschema
import yaml
from aiohttp import web

import fields
from checks import check_kind, check_metadata, need, set_defaults
from patches import merge_patch, strategic_patch
from refusals import Refused
from schemas import check_structural, json_schema, shape
from selection import field_selector, label_selector

Key = tuple[str, str]  # namespace, "" for what belongs to the cluster; name

_READ_QUERY = {
    "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "watch",
    "allowWatchBookmarks", "timeoutSeconds", "pretty", "timeout",
}  # fmt: skip
_WRITE_QUERY = {"fieldManager", "fieldValidation", "dryRun", "pretty", "timeout"}
_DELETE_QUERY = {
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "dryRun", "labelSelector", "fieldSelector",
    "pretty", "timeout",
}  # fmt: skip

@dataclasses.dataclass
class Fault:
    """What goes wrong, with which requests and how often.

    kind: `status` (answers `status`), `delay` (answers after `seconds`), `reset` (closes the connection without an
    answer), `lost` (carries the request out and then closes the connection), `truncate` (closes it within the answer),
    `garbage` (answers what is no JSON), `end-watch`, `break-watch` (ends it within a line), `reset-watch`,
    `garbage-watch` and `expire-watch` (an event ERROR 410) after `after` events.
    """

    kind: str
    verb: str = "*"
    resource: str = "*"
    status: int = 500
    seconds: float = 0
    after: int = 0
    retry_after: int | None = None
    probability: float = 1.0
    count: int | None = None

    def matches(self, verb: str, resource: str) -> bool:
        return self.verb in ("*", verb) and self.resource in ("*", resource)


@dataclasses.dataclass(eq=False)
class Resource:
    """A kind of object and what the server knows of it."""

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    has_status: bool = False
    has_generation: bool = False
    #: Whether a replacement must say what it replaces.
    needs_version: bool = False
    schema: dict | None = None
    validator: Any = None
    crd: str | None = None
    #: Whether its name is one label of DNS.
    is_label: bool = False

    def __post_init__(self) -> None:
        self.singular = self.singular or self.kind.lower()
        self.objects: dict[Key, Stored] = {}
        self.history: collections.deque[tuple[int, Key, Stored | None, Stored | None]] = collections.deque()
        #: Watches from before this resource version are told that it expired.
        self.oldest = 0
        self.watchers: set[Watcher] = set()
        version = f"{self.group}/{self.version}" if self.group else self.version
        self.api_version = version
        #: Events and single objects have these members, items of a list of a built-in kind have not.
        self.prefix = f'{{"apiVersion":"{version}","kind":"{self.kind}",'.encode()
        self.node = fields.Node("", self.schema, is_typed=self.crd is None)

    @property
    def is_custom(self) -> bool:
        return self.crd is not None


@dataclasses.dataclass(eq=False)
class Stored:
    """One state of one object; never changed."""

    obj: dict
    version: int
    #: Without `apiVersion` and `kind`, which come first, and without the first brace.
    body: bytes
    #: By manager, operation and subresource: time and paths.
    managers: dict[tuple[str, str, str], tuple[str, set]]


class Watcher:
    """One open watch."""

    def __init__(self, key_prefix: str | None, selects: Callable[[dict], bool] | None):
        self.namespace = key_prefix
        self.selects = selects
        self.lines: collections.deque[bytes] = collections.deque()
        self.wake = asyncio.Event()
        self.is_broken = False

    def take(self, resource: Resource, key: Key, before: Stored | None, after: Stored | None, version: int) -> None:
        if self.namespace is not None and key[0] != self.namespace:
            return
        if self.selects is not None:
            if before is not None and not self.selects(before.obj):
                before = None
            if after is not None and not self.selects(after.obj):
                # For this watch it is gone, in the state that it left in.
                if before is None:
                    return
                self._put(resource, b"DELETED", after)
                return
        if after is None:
            if before is not None:
                obj = {**before.obj, "metadata": {**before.obj["metadata"], "resourceVersion": str(version)}}
                self._put(resource, b"DELETED", Stored(obj, version, _body(obj), {}))
        else:
            self._put(resource, b"ADDED" if before is None else b"MODIFIED", after)

    def _put(self, resource: Resource, kind: bytes, stored: Stored) -> None:
        self.lines.append(
            b'{"type":"' + kind + b'","object":' + resource.prefix + stored.body + b"}\n")
        self.wake.set()


def _body(obj: dict) -> bytes:
    rest = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind")}
    return json.dumps(rest, separators=(",", ":"), ensure_ascii=False).encode()[1:]


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def builtin_resources() -> list[Resource]:
    def core(plural: str, kind: str, short: tuple[str, ...] = (), **rest: Any) -> Resource:
        return Resource("", "v1", plural, kind, short_names=short, **rest)

    def of(group: str, version: str, plural: str, kind: str, **rest: Any) -> Resource:
        return Resource(group, version, plural, kind, **rest)

    counted = {"has_status": True, "has_generation": True}
    webhooks = {"is_namespaced": False, "has_generation": True}
    rbac = "rbac.authorization.k8s.io"
    return [
        core("namespaces", "Namespace", ("ns",), is_namespaced=False, has_status=True, is_label=True),
        core("nodes", "Node", ("no",), is_namespaced=False, has_status=True),
        core("configmaps", "ConfigMap", ("cm",)),
        core("events", "Event", ("ev",)),
        core("pods", "Pod", ("po",), has_status=True),
        core("secrets", "Secret"),
        core("serviceaccounts", "ServiceAccount", ("sa",)),
        core("services", "Service", ("svc",), has_status=True, is_label=True),
        of("apps", "v1", "deployments", "Deployment", short_names=("deploy",), **counted),
        of("apps", "v1", "replicasets", "ReplicaSet", short_names=("rs",), **counted),
        of("apps", "v1", "statefulsets", "StatefulSet", short_names=("sts",), **counted),
        of("apps", "v1", "daemonsets", "DaemonSet", short_names=("ds",), **counted),
        of("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", has_generation=True),
        of("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short_names=("netpol",), has_generation=True),
        of("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short_names=("pdb",), **counted),
        of("coordination.k8s.io", "v1", "leases", "Lease", needs_version=True),
        of(rbac, "v1", "clusterroles", "ClusterRole", is_namespaced=False),
        of(rbac, "v1", "clusterrolebindings", "ClusterRoleBinding", is_namespaced=False),
        of(rbac, "v1", "roles", "Role"),
        of(rbac, "v1", "rolebindings", "RoleBinding"),
        of("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration",
           **webhooks),
        of("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration",
           **webhooks),
        of("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
           is_namespaced=False, short_names=("crd",), **counted),
        # CRDs of others, without their schemas.
        *(
            of(group, version, plural, kind, crd=f"{plural}.{group}", needs_version=True, has_generation=True)
            for group, version, plural, kind in [
                ("cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy"),
                ("cilium.io", "v2", "ciliumenvoyconfigs", "CiliumEnvoyConfig"),
                ("networking.istio.io", "v1alpha3", "envoyfilters", "EnvoyFilter"),
                ("networking.istio.io", "v1", "serviceentries", "ServiceEntry"),
                ("networking.istio.io", "v1", "destinationrules", "DestinationRule"),
                ("networking.istio.io", "v1", "sidecars", "Sidecar"),
                ("security.istio.io", "v1", "authorizationpolicies", "AuthorizationPolicy"),
                ("security.istio.io", "v1", "peerauthentications", "PeerAuthentication"),
                ("telemetry.istio.io", "v1", "telemetries", "Telemetry"),
            ]
        ),
        *(
            of("casa.io", "v1alpha1", plural, kind, crd=f"{plural}.casa.io", needs_version=True, short_names=(short,),
               **counted)
            for plural, kind, short in [
                ("multiagentsystems", "MultiAgentSystem", "mas"), ("casapolicies", "CASAPolicy", "casap"),
            ]
        ),
    ]  # fmt: skip


def resource_of_crd(crd: dict) -> list[Resource]:
    spec = crd["spec"]
    names = spec["names"]
    made = []
    if crd["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        raise Refused(422, 'metadata.name: must be spec.names.plural+"."+spec.group')
    if sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
        raise Refused(422, "spec.versions: must have exactly one version marked as storage version")
    for version in spec["versions"]:
        schema = version.get("schema", {}).get("openAPIV3Schema")
        if schema is None:
            raise Refused(422, "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required")
        check_structural(schema)
        if not version.get("served"):
            continue
        inner = {**schema, "properties": {
            name: value for name, value in schema.get("properties", {}).items()
            if name not in ("metadata", "apiVersion", "kind")
        }}  # fmt: skip
        required = [name for name in schema.get("required", []) if name != "metadata"]
        inner["required"] = required
        made.append(Resource(
            spec["group"], version["name"], names["plural"], names["kind"], spec["scope"] == "Namespaced",
            names.get("singular", names["kind"].lower()), tuple(names.get("shortNames", [])),
            has_status="status" in version.get("subresources", {}), has_generation=True, needs_version=True,
            schema=inner, crd=crd["metadata"]["name"],
            validator=jsonschema.Draft202012Validator(
                json_schema(inner), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER),
        ))  # fmt: skip
    return made


# The server


class API:
    """The state, and what is done to it. Everything runs on one event loop."""

    def __init__(
        self, *, history: int = 20_000, bookmark_seconds: float = 60.0, token: str | None = None, seed: int = 1
    ):
        self.version = 1000
        self.history = history
        self.bookmark_seconds = bookmark_seconds
        self.token = token
        self.random = random.Random(seed)
        self.faults: list[Fault] = []
        self.counts: collections.Counter[str] = collections.Counter()
        #: Of each resource, from where the last watch began.
        self.watched_from: dict[str, int] = {}
        self.statuses: collections.Counter[int] = collections.Counter()
        self.no_ops: collections.Counter[str] = collections.Counter()
        self.resources: dict[tuple[str, str, str], Resource] = {}
        self.owners: dict[str, set[tuple[Resource, Key]]] = collections.defaultdict(set)
        self.uids: dict[str, tuple[Resource, Key]] = {}
        self.pages: collections.OrderedDict[str, tuple[int, list[Stored], int]] = collections.OrderedDict()
        self.tasks: set[asyncio.Task] = set()
        self.connections: set[asyncio.Transport] = set()
        for resource in builtin_resources():
            self.add_resource(resource)
        for name in ("default", "kube-system", "casa-system"):
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.create(self.find("namespaces"), space, "")
        self.counts.clear()

    def add_resource(self, resource: Resource) -> None:
        key = (resource.group, resource.version, resource.plural)
        if old := self.resources.get(key):
            resource.objects, resource.history, resource.oldest = old.objects, old.history, old.oldest
            resource.watchers = old.watchers
        self.resources[key] = resource

    def find(self, plural: str) -> Resource:
        return next(resource for resource in self.resources.values() if resource.plural == plural)

    def load_crds(self, directory: pathlib.Path) -> None:
        for path in sorted([*directory.rglob("*.yaml"), *directory.rglob("*.yml")]):
            for document in yaml.safe_load_all(path.read_text()):
                if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition":
                    self.create(self.find("customresourcedefinitions"), document, "")

    # Writing

    def _store(
        self, resource: Resource, key: Key, obj: dict | None, managers: dict[tuple[str, str, str], tuple[str, set]]
    ) -> Stored | None:
        """Makes `obj` the state of `key`, None for that it is gone, and tells the watches."""
        self.version += 1
        before = resource.objects.get(key)
        after = None
        if obj is not None:
            metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
            metadata.pop("managedFields", None)
            metadata["managedFields"] = [
                {
                    "manager": manager, "operation": operation, "apiVersion": resource.api_version, "time": moment,
                    "fieldsType": "FieldsV1", "fieldsV1": fields.encode(paths),
                    **({"subresource": subresource} if subresource else {}),
                }
                for (manager, operation, subresource), (moment, paths) in managers.items()
                if paths
            ]  # fmt: skip
            obj = {"apiVersion": resource.api_version, "kind": resource.kind, **obj, "metadata": metadata}
            after = Stored(obj, self.version, _body(obj), managers)
            resource.objects[key] = after
        else:
            del resource.objects[key]
        old_owners = _owner_uids(before.obj) if before else set()
        new_owners = _owner_uids(obj) if obj else set()
        for uid in old_owners - new_owners:
            self.owners[uid].discard((resource, key))
        for uid in new_owners - old_owners:
            self.owners[uid].add((resource, key))
        if before and not after:
            self.uids.pop(before.obj["metadata"]["uid"], None)
        elif after:
            self.uids[after.obj["metadata"]["uid"]] = (resource, key)
        resource.history.append((self.version, key, before, after))
        while len(resource.history) > self.history:
            resource.oldest = resource.history.popleft()[0]
        for watcher in resource.watchers:
            watcher.take(resource, key, before, after, self.version)
        return after

    def create(
        self, resource: Resource, obj: dict, namespace: str, manager: str = "tests", managers: dict | None = None,
        strict: bool = False,
    ) -> Stored:  # fmt: skip
        obj = self._checked(resource, obj, namespace)
        metadata = obj["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata = {**metadata, "name": metadata["generateName"] + uuid.uuid4().hex[:5]}
        metadata = {name: value for name, value in metadata.items() if name not in (
            "resourceVersion", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
            "selfLink")}
        if obj["metadata"].get("resourceVersion"):
            raise Refused(400, "resourceVersion should not be set on objects to be created")
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = _now()
        if resource.is_namespaced:
            metadata["namespace"] = namespace
            home = self.find("namespaces").objects.get(("", namespace))
            if home is None:
                raise Refused(404, f'namespaces "{namespace}" not found')
            if home.obj["metadata"].get("deletionTimestamp"):
                raise Refused(
                    403, f"unable to create new content in namespace {namespace} because it is being terminated")
        if resource.has_generation:
            metadata["generation"] = 1
        obj = {**obj, "metadata": metadata}
        if resource.has_status:
            obj.pop("status", None)
        obj = self._shaped(resource, obj, strict)
        check_metadata(resource, metadata)
        key = (namespace if resource.is_namespaced else "", metadata["name"])
        if key in resource.objects:
            raise Refused(409, f'{resource.plural} "{key[1]}" already exists', "AlreadyExists")
        if resource.kind == "CustomResourceDefinition":
            for made in resource_of_crd(obj):
                self.add_resource(made)
            obj["status"] = {
                "acceptedNames": obj["spec"]["names"], "storedVersions": [
                    version["name"] for version in obj["spec"]["versions"] if version.get("storage")],
                "conditions": [
                    {"type": name, "status": "True", "reason": name, "message": "", "lastTransitionTime": _now()}
                    for name in ("NamesAccepted", "Established")],
            }  # fmt: skip
        if managers is None:
            managers = {(manager, "Update", ""): (_now(), set(fields.owned(obj, resource.node)))}
        stored = self._store(resource, key, obj, managers)
        assert stored is not None
        owners = _owner_uids(obj)
        if owners and not any(self._is_owner(uid, key) for uid in owners):
            self._later(0.2, lambda: self._collect(resource, key))
        return stored

    def update(
        self, resource: Resource, key: Key, obj: dict, manager: str = "tests", subresource: str = "",
        managers: dict | None = None, strict: bool = False,
    ) -> tuple[Stored, bool]:  # fmt: skip
        """Puts `obj` in the place of what is there; tells whether that changed anything."""
        before = self.stored(resource, key)
        obj = self._checked(resource, obj, key[0])
        old, new = before.obj["metadata"], obj["metadata"]
        wanted = new.get("resourceVersion")
        if wanted and wanted != old["resourceVersion"]:
            raise Refused(409, f'Operation cannot be fulfilled on {resource.plural} "{key[1]}": the object has been '
                               "modified; please apply your changes to the latest version and try again")
        if new.get("uid") and new["uid"] != old["uid"]:
            raise Refused(409, "Precondition failed: UID in precondition does not match UID in object meta")
        metadata = {name: value for name, value in new.items() if name != "managedFields"}
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
                     "resourceVersion", "name", "namespace"):
            metadata.pop(name, None)
            if name in old:
                metadata[name] = old[name]
        obj = {**obj, "metadata": metadata}
        if subresource == "status":
            obj = {**{k: v for k, v in before.obj.items() if k != "status"}, **(
                {"status": obj["status"]} if "status" in obj else {})}
            metadata = obj["metadata"] = {k: v for k, v in before.obj["metadata"].items() if k != "managedFields"}
        elif resource.has_status:
            obj = {k: v for k, v in obj.items() if k != "status"}
            if "status" in before.obj:
                obj["status"] = before.obj["status"]
        obj = self._shaped(resource, obj, strict)
        if resource.kind == "Service" and subresource == "":
            address = before.obj["spec"].get("clusterIP")
            need(obj["spec"].get("clusterIP") == address, "spec.clusterIP", "field is immutable")
        if resource.kind in ("Deployment", "StatefulSet", "ReplicaSet"):
            need(obj["spec"]["selector"] == before.obj["spec"]["selector"], "spec.selector", "field is immutable")
        if resource.kind == "Secret":
            need(obj["type"] == before.obj["type"], "type", "field is immutable")
        check_metadata(resource, metadata)
        if old.get("deletionTimestamp"):
            added = set(metadata.get("finalizers", [])) - set(old.get("finalizers", []))
            need(not added, "metadata.finalizers",
                 "Forbidden: no new finalizers can be added if the object is being deleted")
        if managers is None:
            managers = self._owners_after(resource, before, obj, manager, subresource)
        was = {k: v for k, v in before.obj.items() if k != "metadata"}
        now = {k: v for k, v in obj.items() if k != "metadata"}
        now = {"apiVersion": resource.api_version, "kind": resource.kind, **now}
        if resource.has_generation and subresource == "":
            spec_of = lambda content: {k: v for k, v in content.items() if k != "status" or not resource.has_status}
            if spec_of(was) != spec_of(now):
                metadata["generation"] = old.get("generation", 0) + 1
        old_metadata = {k: v for k, v in old.items() if k != "managedFields"}
        same_owners = _paths(managers) == _paths(before.managers)
        if was == now and metadata == old_metadata and same_owners:
            return before, False
        if resource.kind == "CustomResourceDefinition" and subresource == "":
            for made in resource_of_crd(obj):
                self.add_resource(made)
        stored = self._store(resource, key, obj, managers)
        assert stored is not None
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._remove(resource, key)
        return stored, True

    def _owners_after(
        self, resource: Resource, before: Stored, obj: dict, manager: str, subresource: str
    ) -> dict[tuple[str, str, str], tuple[str, set]]:
        old, new = fields.owned(before.obj, resource.node), fields.owned(obj, resource.node)
        changed = {path for path, value in new.items() if path not in old or old[path] != value}
        gone = {path for path in old if path not in new}
        if not changed and not gone:
            return before.managers
        mine = (manager, "Update", subresource)
        managers = {
            who: (moment, paths - gone - (changed if who != mine else set()))
            for who, (moment, paths) in before.managers.items()
        }
        _, paths = managers.get(mine, ("", set()))
        managers[mine] = (_now(), paths | changed)
        return {who: entry for who, entry in managers.items() if entry[1]}

    def apply(
        self, resource: Resource, key: Key, config: dict, manager: str, force: bool, subresource: str = ""
    ) -> tuple[Stored, bool, bool]:
        """Server-side apply; tells whether it changed anything and whether it made the object."""
        if not manager:
            raise Refused(
                422, "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch")
        if config.get("metadata", {}).get("managedFields"):
            raise Refused(400, "metadata.managedFields must be nil")
        config = self._checked(resource, config, key[0])
        if config["metadata"].get("name") != key[1]:
            raise Refused(400, f"the name of the object ({config['metadata'].get('name')}) does not match the name on "
                               f"the URL ({key[1]})")
        unknown: list[str] = []
        if resource.schema is not None:
            rest = {name: value for name, value in config.items() if name not in ("metadata", "apiVersion", "kind")}
            shape(rest, resource.schema, unknown)
        if unknown:
            raise Refused(500, f"failed to create typed patch object: .{unknown[0]}: field not declared in schema")
        if subresource == "" and resource.has_status:
            config = {name: value for name, value in config.items() if name != "status"}
        mine = (manager, "Apply", subresource)
        applied = fields.owned(config, resource.node, subresource)
        before = resource.objects.get(key)
        if before is None:
            if subresource:
                raise Refused(404, f'{resource.plural} "{key[1]}" not found')
            made = self.create(resource, config, key[0], managers={mine: (_now(), set(applied))}, strict=True)
            return made, True, True
        wanted = config["metadata"].get("resourceVersion")
        if wanted and wanted != before.obj["metadata"]["resourceVersion"]:
            raise Refused(409, "the object has been modified")
        live = fields.owned(before.obj, resource.node)
        managers = dict(before.managers)
        conflicts = []
        for who, (moment, paths) in before.managers.items():
            if who == mine:
                continue
            stolen = {
                path for path, value in applied.items()
                if path in paths and path[-1] != (".",) and live.get(path) != value
            }  # fmt: skip
            if stolen and not force:
                conflicts += [(who[0], path) for path in stolen]
            if stolen:
                managers[who] = (moment, paths - stolen)
        if conflicts:
            texts = {f'"{who}": ' + "".join(f".{step[-1]}" for step in path) for who, path in conflicts}
            names = ", ".join(sorted(texts))
            raise Refused(409, f"Apply failed with {len(conflicts)} conflict(s): conflicts with {names}")
        _, mine_before = before.managers.get(mine, ("", set()))
        others: set = set()
        for who, (_, paths) in managers.items():
            if who != mine:
                others |= paths
        obj = before.obj
        # Elements of lists first, while the keys that they are found by are there.
        given_up = mine_before - set(applied) - others
        for path in sorted(given_up, key=lambda path: (path[-1] != (".",), -len(path), path)):
            if path[-1] == (".",) and any(other[: len(path) - 1] == path[:-1] for other in others | set(applied)):
                continue
            obj = fields.remove(obj, path, resource.node) or {}
        obj = {**obj, "metadata": obj.get("metadata") or before.obj["metadata"]}
        overlay = {"status": config.get("status", {})} if subresource == "status" else {
            name: value for name, value in config.items() if name not in ("apiVersion", "kind")}
        metadata = fields.merge(obj["metadata"], {
            name: value for name, value in overlay.pop("metadata", {}).items() if name not in fields.IDENTITY
        }, fields.Node("metadata", None, True))  # fmt: skip
        obj = {**fields.merge(obj, overlay, resource.node), "metadata": metadata}
        had = managers.get(mine)
        managers[mine] = had if had and had[1] == set(applied) else (_now(), set(applied))
        managers = {who: entry for who, entry in managers.items() if entry[1]}
        stored, changed = self.update(resource, key, obj, manager, subresource, managers, strict=False)
        return stored, changed, False

    def _checked(self, resource: Resource, obj: Any, namespace: str) -> dict:
        if not isinstance(obj, dict):
            raise Refused(400, "expected an object")
        if obj.get("apiVersion") != resource.api_version or obj.get("kind") != resource.kind:
            raise Refused(400, f"the object provided is unrecognized: expected {resource.api_version} {resource.kind}, "
                               f"got {obj.get('apiVersion')} {obj.get('kind')}")
        metadata = obj.get("metadata")
        if not isinstance(metadata, dict):
            raise Refused(422, "metadata: Required value")
        if resource.is_namespaced and metadata.get("namespace", namespace) != namespace:
            raise Refused(400, f"the namespace of the provided object does not match the namespace sent on the request")
        if not resource.is_namespaced and metadata.get("namespace"):
            raise Refused(400, "namespace may not be set for an object of the cluster")
        return obj

    def _shaped(self, resource: Resource, obj: dict, strict: bool) -> dict:
        """With defaults and without what no schema knows, or refused."""
        if resource.schema is not None:
            named = {name: obj[name] for name in ("apiVersion", "kind", "metadata") if name in obj}
            rest = {name: value for name, value in obj.items() if name not in named}
            unknown: list[str] = []
            rest = shape(rest, resource.schema, unknown)
            if unknown and strict:
                raise Refused(400, f'strict decoding error: unknown field "{unknown[0]}"')
            for error in resource.validator.iter_errors(rest):
                path = ".".join(str(step) for step in error.absolute_path)
                raise Refused(422, f'{resource.kind}.{resource.group} "{obj["metadata"].get("name")}" is invalid: '
                                   f"{path or '<nil>'}: Invalid value: {error.message[:300]}")
            return {**named, **rest}
        if not resource.is_custom:
            obj = set_defaults(resource, obj, self.version)
            check_kind(resource, obj)
        return obj

    def stored(self, resource: Resource, key: Key) -> Stored:
        stored = resource.objects.get(key)
        if stored is None:
            kind = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
            raise Refused(404, f'{kind} "{key[1]}" not found')
        return stored

    # Deleting

    def delete(self, resource: Resource, key: Key, options: dict | None = None) -> tuple[Stored, bool]:
        """Tells whether it is gone, rather than waiting for finalizers."""
        options = options or {}
        stored = self.stored(resource, key)
        metadata = stored.obj["metadata"]
        wanted = options.get("preconditions") or {}
        for name, member in (("uid", "uid"), ("resourceVersion", "resourceVersion")):
            if wanted.get(name) and wanted[name] != metadata[member]:
                raise Refused(409, f"Precondition failed: {name} in precondition: {wanted[name]}, in object meta: "
                                   f"{metadata[member]}")
        policy = options.get("propagationPolicy") or "Background"
        if policy not in ("Background", "Foreground", "Orphan"):
            raise Refused(422, f"propagationPolicy: Invalid value: {policy!r}")
        finalizers = list(metadata.get("finalizers", []))
        if policy == "Orphan":
            for other, place in list(self.owners.get(metadata["uid"], ())):
                self._disown(other, place, metadata["uid"])
        if policy == "Foreground" and self.owners.get(metadata["uid"]):
            finalizers.append("foregroundDeletion")
        if resource.kind == "Namespace" and not metadata.get("deletionTimestamp"):
            self._later(0.05, lambda: self._empty(key[1]))
            finalizers.append("kubernetes")
        if not finalizers:
            self._remove(resource, key)
            return stored, True
        if metadata.get("deletionTimestamp"):
            return stored, False
        changed = {**metadata, "deletionTimestamp": _now(), "deletionGracePeriodSeconds": 0, "finalizers": finalizers}
        if resource.has_generation:
            changed["generation"] = metadata.get("generation", 0) + 1
        obj = {**stored.obj, "metadata": changed}
        if resource.kind == "Namespace":
            obj["status"] = {"phase": "Terminating"}
        after = self._store(resource, key, obj, stored.managers)
        assert after is not None
        if policy == "Foreground":
            self._later(0.05, lambda: self._foreground(resource, key))
        return after, False

    def _remove(self, resource: Resource, key: Key) -> None:
        stored = resource.objects[key]
        self._store(resource, key, None, {})
        if resource.kind == "CustomResourceDefinition":
            for name, other in list(self.resources.items()):
                if other.crd == key[1]:
                    for place in list(other.objects):
                        self._store(other, place, None, {})
                    del self.resources[name]
        if self.owners.get(stored.obj["metadata"]["uid"]):
            uid = stored.obj["metadata"]["uid"]
            self._later(0.02, lambda: self._collect_owned(uid))

    def _collect_owned(self, uid: str) -> None:
        for resource, key in list(self.owners.get(uid, ())):
            self._collect(resource, key)

    def _collect(self, resource: Resource, key: Key) -> None:
        """Deletes an object that none of its owners has any more."""
        stored = resource.objects.get(key)
        if stored is None:
            return
        owners = _owner_uids(stored.obj)
        if owners and not any(self._is_owner(uid, key) for uid in owners):
            with contextlib.suppress(Refused):
                self.counts[f"collected {resource.plural}"] += 1
                self.delete(resource, key)

    def _is_owner(self, uid: str, key: Key) -> bool:
        place = self.uids.get(uid)
        # An owner in another namespace is none.
        return place is not None and (not place[0].is_namespaced or place[1][0] == key[0])

    def _foreground(self, resource: Resource, key: Key) -> None:
        stored = resource.objects.get(key)
        if stored is None:
            return
        self._collect_dependents(stored.obj["metadata"]["uid"])
        finalizers = [name for name in stored.obj["metadata"]["finalizers"] if name != "foregroundDeletion"]
        obj = {**stored.obj, "metadata": {**stored.obj["metadata"], "finalizers": finalizers}}
        self._store(resource, key, obj, stored.managers)
        if not finalizers:
            self._remove(resource, key)

    def _collect_dependents(self, uid: str) -> None:
        for other, place in list(self.owners.get(uid, ())):
            with contextlib.suppress(Refused):
                self.delete(other, place)

    def _disown(self, resource: Resource, key: Key, uid: str) -> None:
        stored = resource.objects[key]
        metadata = dict(stored.obj["metadata"])
        metadata["ownerReferences"] = [owner for owner in metadata["ownerReferences"] if owner["uid"] != uid]
        if not metadata["ownerReferences"]:
            del metadata["ownerReferences"]
        self._store(resource, key, {**stored.obj, "metadata": metadata}, stored.managers)

    def _empty(self, namespace: str) -> None:
        for resource in list(self.resources.values()):
            for key in [key for key in resource.objects if key[0] == namespace]:
                with contextlib.suppress(Refused):
                    self.delete(resource, key)
        if any(key[0] == namespace for resource in self.resources.values() for key in resource.objects):
            self._later(0.1, lambda: self._empty(namespace))
            return
        home = self.find("namespaces")
        if ("", namespace) in home.objects:
            self._remove(home, ("", namespace))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        try:
            asyncio.get_running_loop().call_later(seconds, action)
        except RuntimeError:
            action()  # before the server runs

    # Requests

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self.connections.add(request.transport)
        path = request.rel_url.raw_path
        if path.startswith("/__fake__/"):
            return await self.control(request, path.removeprefix("/__fake__/"))
        try:
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                peer = request.transport.get_extra_info("peercert") if request.transport else None
                if not peer:
                    raise Refused(401, "Unauthorized")
            return await self._route(request, [part for part in path.split("/")[1:]])
        except Refused as refused:
            self.statuses[refused.code] += 1
            headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after is not None else {}
            return _json(refused.status(), refused.code, headers)
        except _Reset:
            _abort(request)
            return web.Response(status=500)

    async def _route(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        if answer := self._discovery(request, parts):
            return answer
        match parts:
            case ["api", version, *rest]:
                group = ""
            case ["apis", group, version, *rest]:
                pass
            case _:
                raise Refused(404, "the server could not find the requested resource")
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces" and (group, version, rest[2]) in self.resources:
            namespace, rest = unquote(rest[1]), rest[2:]
            if not self.resources[group, version, rest[0]].is_namespaced:
                raise Refused(404, "the server could not find the requested resource")
        resource = self.resources.get((group, version, rest[0])) if rest else None
        if resource is None or len(rest) > 3 or "" in rest:
            raise Refused(404, "the server could not find the requested resource")
        name = unquote(rest[1]) if len(rest) > 1 else None
        subresource = rest[2] if len(rest) > 2 else ""
        if subresource and not (subresource == "status" and resource.has_status):
            raise Refused(404, "the server could not find the requested resource")
        if name is not None and resource.is_namespaced and not namespace:
            raise Refused(404, "the server could not find the requested resource")
        verb = self._verb(request, name)
        label = f"{verb} {resource.plural}" + (f"/{subresource}" if subresource else "")
        self.counts[label] += 1
        is_lost, is_truncated = await self._faults(request, verb, resource)
        if verb in ("list", "watch") and request.method == "GET":
            allowed = _READ_QUERY
        elif verb == "get":
            allowed = {"resourceVersion", "pretty", "timeout"}
        elif verb.startswith("delete"):
            allowed = _DELETE_QUERY
        else:
            allowed = _WRITE_QUERY | ({"force"} if verb == "apply" else set())
        for parameter in request.query:
            if parameter not in allowed:
                raise Refused(400, f"unknown query parameter: {parameter}")
        if request.query.get("dryRun") not in (None, "All"):
            raise Refused(422, "dryRun: Unsupported value")
        if verb == "watch":
            return await self._watch(request, resource, namespace or None)
        code, content = await self._act(request, verb, resource, namespace, name, subresource, label)
        if is_lost:
            raise _Reset
        self.statuses[code] += 1
        if is_truncated:
            return await _truncated(request, content)
        return web.Response(body=content, status=code, content_type="application/json")

    def _verb(self, request: web.Request, name: str | None) -> str:
        match request.method, name:
            case "GET", None:
                return "watch" if request.query.get("watch") in ("true", "1") else "list"
            case "GET", _:
                if request.query.get("watch"):
                    raise Refused(400, "watching single objects is not supported here; use a fieldSelector")
                return "get"
            case "POST", None:
                return "create"
            case "PUT", str():
                return "update"
            case "PATCH", str():
                return "apply" if request.content_type == "application/apply-patch+yaml" else "patch"
            case "DELETE", None:
                return "deletecollection"
            case "DELETE", _:
                return "delete"
        raise Refused(405, "the server does not allow this method on the requested resource")

    async def _act(
        self, request: web.Request, verb: str, resource: Resource, namespace: str, name: str | None, subresource: str,
        label: str,
    ) -> tuple[int, bytes]:  # fmt: skip
        key = (namespace, name or "")
        if verb == "list":
            return 200, self._list(request, resource, namespace or None)
        if verb == "get":
            return 200, resource.prefix + self.stored(resource, key).body
        body = await request.read()
        manager = request.query.get("fieldManager") or (
            "" if verb == "apply" else (request.headers.get("User-Agent") or "unknown").split("/")[0])
        if len(manager) > 128:
            raise Refused(422, "fieldManager: Too long")
        strict = request.query.get("fieldValidation") == "Strict"
        changed = True
        code = 200
        if verb in ("delete", "deletecollection"):
            return self._delete(request, verb, resource, namespace, name, body)
        if verb in ("create", "update"):
            if request.content_type not in ("application/json", "application/yaml"):
                raise Refused(415, _UNKNOWN_FORMAT + "application/json, application/yaml")
            obj = _parsed(body, request.content_type)
        if verb == "create":
            if resource.is_namespaced and not namespace:
                raise Refused(405, "the server does not allow this method on the requested resource")
            if request.query.get("dryRun"):
                return 201, body
            stored, code = self.create(resource, obj, namespace, manager, strict=strict), 201
        elif verb == "update":
            if not isinstance(obj, dict) or obj.get("metadata", {}).get("name") != name:
                raise Refused(400, f"the name of the object does not match the name on the URL ({name})")
            if resource.needs_version and not obj["metadata"].get("resourceVersion") and key in resource.objects:
                raise Refused(422, "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update")
            stored, changed = self.update(resource, key, obj, manager, subresource, strict=strict)
        elif verb == "apply":
            if request.query.get("dryRun"):
                return 200, body
            force = request.query.get("force", "false")
            if force not in ("true", "false"):
                raise Refused(400, "force: must be true or false")
            stored, changed, is_new = self.apply(
                resource, key, _parsed(body, "application/yaml"), manager, force == "true", subresource)
            code = 201 if is_new else 200
        else:
            before = self.stored(resource, key)
            patch = _parsed(body, "application/json")
            kind = request.content_type
            if kind == "application/merge-patch+json" and isinstance(patch, dict):
                obj = merge_patch(before.obj, patch)
            elif kind == "application/strategic-merge-patch+json" and not resource.is_custom:
                obj = strategic_patch(before.obj, patch, resource.node)
            else:
                raise Refused(415, _UNKNOWN_FORMAT + "application/merge-patch+json, application/apply-patch+yaml")
            if obj.get("metadata", {}).get("name") != name:
                raise Refused(422, "metadata.name: Invalid value: field is immutable")
            stored, changed = self.update(resource, key, obj, manager, subresource, strict=strict)
        if not changed:
            self.no_ops[label] += 1
        return code, resource.prefix + stored.body

    def _delete(
        self, request: web.Request, verb: str, resource: Resource, namespace: str, name: str | None, body: bytes
    ) -> tuple[int, bytes]:
        options: dict = {}
        if body:
            if request.content_type not in ("application/json", "application/yaml"):
                raise Refused(415, "the body of the request was in an unknown format")
            options = _parsed(body, request.content_type)
            known = {"apiVersion", "kind", "preconditions", "propagationPolicy", "gracePeriodSeconds", "dryRun",
                     "orphanDependents"}  # fmt: skip
            if not isinstance(options, dict) or set(options) - known:
                raise Refused(400, f"unknown field in DeleteOptions: {set(options) - known}")
            if options.get("kind", "DeleteOptions") != "DeleteOptions":
                raise Refused(400, "expected DeleteOptions")
        if policy := request.query.get("propagationPolicy"):
            options["propagationPolicy"] = policy
        if verb == "deletecollection":
            selects = self._selects(request, resource)
            for key, stored in list(resource.objects.items()):
                if (not namespace or key[0] == namespace) and (selects is None or selects(stored.obj)):
                    self.delete(resource, key, options)
            return 200, json.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}).encode()
        stored, is_gone = self.delete(resource, (namespace, name or ""), options)
        if not is_gone:
            return 200, resource.prefix + stored.body
        details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": stored.obj["metadata"]["uid"]}
        return 200, json.dumps(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}).encode()

    # Lists and watches

    def _selects(self, request: web.Request, resource: Resource) -> Callable[[dict], bool] | None:
        tests = []
        if text := request.query.get("labelSelector"):
            tests.append(label_selector(text))
        if text := request.query.get("fieldSelector"):
            tests.append(field_selector(resource, text))
        if not tests:
            return None
        return lambda obj: all(test(obj) for test in tests)

    def _list(self, request: web.Request, resource: Resource, namespace: str | None) -> bytes:
        limit = _number(request, "limit", 0)
        if token := request.query.get("continue"):
            if token not in self.pages:
                raise Refused(410, "The provided continue parameter is too old to display a consistent list result.")
            version, rest, start = self.pages[token]
        else:
            selects = self._selects(request, resource)
            rest = [
                resource.objects[key] for key in sorted(resource.objects)
                if namespace is None or key[0] == namespace
            ]  # fmt: skip
            if selects is not None:
                rest = [stored for stored in rest if selects(stored.obj)]
            version, start = self.version, 0
        end = start + limit if limit else len(rest)
        metadata: dict = {"resourceVersion": str(version)}
        if end < len(rest):
            token = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()
            self.pages[token] = (version, rest, end)
            while len(self.pages) > 64:
                self.pages.popitem(last=False)
            metadata |= {"continue": token, "remainingItemCount": len(rest) - end}
        prefix = resource.prefix if resource.is_custom else b"{"
        items = b",".join(prefix + stored.body for stored in rest[start:end])
        head = f'{{"kind":"{resource.kind}List","apiVersion":"{resource.api_version}","metadata":{json.dumps(metadata)}'
        return head.encode() + b',"items":[' + items + b"]}"

    async def _watch(self, request: web.Request, resource: Resource, namespace: str | None) -> web.StreamResponse:
        selects = self._selects(request, resource)
        since = request.query.get("resourceVersion") or "0"
        if not since.isdigit():
            raise Refused(400, f'Invalid value: "{since}": strconv.ParseUint')
        timeout = _number(request, "timeoutSeconds", 1800) or 1800
        bookmarks = request.query.get("allowWatchBookmarks") in ("true", "1")
        watcher = Watcher(namespace, selects)
        version = self.watched_from[resource.plural] = int(since)
        expired = Refused(410, f"too old resource version: {since} ({resource.oldest})", "Expired")
        if version == 0:
            for key in sorted(resource.objects):
                watcher.take(resource, key, None, resource.objects[key], self.version)
        elif version < resource.oldest or version > self.version:
            watcher.lines.append(json.dumps({"type": "ERROR", "object": expired.status()}).encode() + b"\n")
            watcher.is_broken = True
        else:
            for moment, key, before, after in resource.history:
                if moment > version:
                    watcher.take(resource, key, before, after, moment)
        fault = next((
            fault for fault in self.faults
            if fault.kind.endswith("-watch") and fault.matches("watch", resource.plural) and self._happens(fault)
        ), None)  # fmt: skip
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        resource.watchers.add(watcher)
        try:
            await response.prepare(request)
            sent = 0
            end = time.monotonic() + timeout
            next_bookmark = time.monotonic() + self.bookmark_seconds
            while True:
                watcher.wake.clear()
                while watcher.lines:
                    if fault and sent >= fault.after:
                        return await self._break(request, response, fault, watcher.lines[0])
                    lines = [watcher.lines.popleft()]
                    while watcher.lines and not fault and len(lines) < 64:
                        lines.append(watcher.lines.popleft())
                    await response.write(b"".join(lines))
                    sent += len(lines)
                if fault and fault.after == 0 and fault.kind != "break-watch":
                    return await self._break(request, response, fault, b"")
                now = time.monotonic()
                if watcher.is_broken or now >= end:
                    break
                if bookmarks and now >= next_bookmark:
                    next_bookmark = now + self.bookmark_seconds
                    mark = {"type": "BOOKMARK", "object": {
                        "kind": resource.kind, "apiVersion": resource.api_version,
                        "metadata": {"resourceVersion": str(self.version), "creationTimestamp": None}}}  # fmt: skip
                    await response.write(json.dumps(mark).encode() + b"\n")
                wait = min(end, next_bookmark if bookmarks else end) - now
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(watcher.wake.wait(), max(wait, 0.001))
            await response.write_eof()
        except (ConnectionResetError, ConnectionError):
            pass
        finally:
            resource.watchers.discard(watcher)
        return response

    async def _break(
        self, request: web.Request, response: web.StreamResponse, fault: Fault, line: bytes
    ) -> web.StreamResponse:
        match fault.kind:
            case "break-watch":
                await response.write(line[: len(line) // 2])
                await response.write_eof()
            case "garbage-watch":
                await response.write(b'{"type":"ADDED","object":{"metadata":}}\n')
                await response.write_eof()
            case "expire-watch":
                await response.write(json.dumps(
                    {"type": "ERROR", "object": Refused(410, "too old resource version").status()}).encode() + b"\n")
                await response.write_eof()
            case "reset-watch":
                await asyncio.sleep(0.01)
                _abort(request)
            case _:
                await response.write_eof()
        return response

    # Faults

    def _happens(self, fault: Fault) -> bool:
        if fault.count is not None and fault.count <= 0:
            return False
        if fault.probability < 1 and self.random.random() >= fault.probability:
            return False
        if fault.count is not None:
            fault.count -= 1
        self.counts[f"fault {fault.kind}"] += 1
        return True

    async def _faults(self, request: web.Request, verb: str, resource: Resource) -> tuple[bool, bool]:
        is_lost = is_truncated = False
        for fault in list(self.faults):
            if fault.kind.endswith("-watch") or not fault.matches(verb, resource.plural) or not self._happens(fault):
                continue
            match fault.kind:
                case "status":
                    raise Refused(fault.status, "a fault of the test", retry_after=fault.retry_after)
                case "delay":
                    await asyncio.sleep(fault.seconds)
                case "reset":
                    raise _Reset
                case "lost":
                    is_lost = True
                case "truncate":
                    is_truncated = True
                case "garbage":
                    raise _Garbage(request)
                case kind:
                    raise Refused(500, f"the test asks for an unknown fault: {kind}")
        return is_lost, is_truncated

    def break_watches(self) -> None:
        """Ends all watches now."""
        for resource in self.resources.values():
            for watcher in list(resource.watchers):
                watcher.is_broken = True
                watcher.wake.set()

    def compact(self) -> None:
        """Forgets what happened, so that a watch from before it is told 410."""
        for resource in self.resources.values():
            resource.history.clear()
            resource.oldest = self.version
        self.pages.clear()

    def drop_connections(self) -> None:
        for transport in list(self.connections):
            transport.abort()
        self.connections.clear()

    def counters(self) -> dict:
        return {
            "requests": dict(self.counts), "no_op_writes": dict(self.no_ops),
            "statuses": {str(code): count for code, count in self.statuses.items()},
            "watches": sum(len(resource.watchers) for resource in self.resources.values()),
            "objects": {kind.plural: len(kind.objects) for kind in self.resources.values() if kind.objects},
        }  # fmt: skip

    async def control(self, request: web.Request, what: str) -> web.Response:
        match request.method, what:
            case "GET", "counters":
                return _json(self.counters())
            case "DELETE", "counters":
                self.counts.clear(), self.no_ops.clear(), self.statuses.clear()
            case "POST", "faults":
                content = await request.json()
                self.faults += [Fault(**fault) for fault in (content if isinstance(content, list) else [content])]
            case "DELETE", "faults":
                self.faults.clear()
            case "POST", "break-watches":
                self.break_watches()
            case "POST", "compact":
                self.compact()
            case _:
                return _json({"error": "no such control"}, 404)
        return _json({})

    # Discovery

    def _discovery(self, request: web.Request, parts: list[str]) -> web.Response | None:
        groups: dict[str, list[str]] = {}
        for group, version, _ in self.resources:
            if version not in groups.setdefault(group, []):
                groups[group].append(version)

        def group_json(group: str) -> dict:
            versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in groups[group]]
            return {"name": group, "versions": versions, "preferredVersion": versions[0]}

        match parts:
            case ["version"]:
                return _json({
                    "major": "1", "minor": "32", "gitVersion": "v1.32.0-fake", "gitCommit": "", "gitTreeState": "clean",
                    "buildDate": "2025-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
                })  # fmt: skip
            case ["healthz"] | ["livez"] | ["readyz"]:
                return web.Response(text="ok")
            case ["api"]:
                return _json({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
            case ["apis"]:
                return _json({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                    group_json(group) for group in groups if group]})
            case ["apis", group] if group in groups and group:
                return _json({"kind": "APIGroup", "apiVersion": "v1", **group_json(group)})
            case ["api", version] if version in groups[""]:
                return _json(self._resource_list("", version))
            case ["apis", group, version] if version in groups.get(group, []):
                return _json(self._resource_list(group, version))
            case ["openapi", "v3"]:
                return _json({"paths": {}})
            case ["openapi", "v2"]:
                info = {"title": "fake", "version": "v1.32.0"}
                return _json({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})
        return None

    def _resource_list(self, group: str, version: str) -> dict:
        verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        listed = []
        for resource in self.resources.values():
            if (resource.group, resource.version) != (group, version):
                continue
            entry = {"name": resource.plural, "singularName": resource.singular, "namespaced": resource.is_namespaced,
                     "kind": resource.kind, "verbs": verbs, "shortNames": list(resource.short_names)}  # fmt: skip
            listed.append(entry)
            if resource.has_status:
                listed.append({**entry, "name": f"{resource.plural}/status", "singularName": "", "shortNames": [],
                               "verbs": ["get", "patch", "update"]})  # fmt: skip
        name = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}


_UNKNOWN_FORMAT = "the body of the request was in an unknown format - accepted media types include: "


class _Reset(Exception):
    pass


class _Garbage(Exception):
    def __init__(self, request: web.Request):
        super().__init__("garbage")


def _paths(managers: dict[tuple[str, str, str], tuple[str, set]]) -> dict[tuple[str, str, str], set]:
    return {who: paths for who, (_, paths) in managers.items() if paths}


def _owner_uids(obj: dict) -> set[str]:
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences", [])}


def _number(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name)
    if text is None:
        return otherwise
    if not text.isdigit():
        raise Refused(400, f"{name}: expected a number, got {text!r}")
    return int(text)


def _parsed(body: bytes, content_type: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        if content_type == "application/yaml":
            with contextlib.suppress(yaml.YAMLError):
                return yaml.safe_load(body)
        raise Refused(400, f"the object provided is unrecognized: {error}") from error


def _json(content: Any, status: int = 200, headers: dict | None = None) -> web.Response:
    return web.Response(
        body=json.dumps(content).encode(), status=status, content_type="application/json", headers=headers)


async def _truncated(request: web.Request, content: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(content))})
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    await asyncio.sleep(0.01)
    _abort(request)
    return response


def _abort(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@web.middleware
async def _garbage(request: web.Request, handler: Callable) -> web.StreamResponse:
    try:
        return await handler(request)
    except _Garbage:
        return web.Response(body=b'<html>502 Bad Gateway</html>', status=200, content_type="application/json")


class FakeAPI:
    """The server in a thread of its own. `call` runs something on its loop, where the state may be touched."""

    def __init__(
        self, *, port: int = 0, tls: bool = False, crds: pathlib.Path | None = None, token: str | None = None,
        history: int = 20_000, bookmark_seconds: float = 60.0, seed: int = 1,
    ):  # fmt: skip
        self.port = port
        self.token = token
        self.api = API(history=history, bookmark_seconds=bookmark_seconds, token=token, seed=seed)
        if crds:
            self.api.load_crds(pathlib.Path(crds))
        self.tls = Certificates() if tls else None
        self.loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    def __enter__(self) -> FakeAPI:
        self._thread.start()
        if not self._started.wait(30):
            raise RuntimeError("the fake API server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self.api.break_watches()
            self.api.drop_connections()
            assert self._runner is not None
            await self._runner.cleanup()

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._start())
        self._started.set()
        self.loop.run_forever()

    async def _start(self) -> None:
        application = web.Application(client_max_size=16 << 20, middlewares=[_garbage])
        application.router.add_route("*", "/{path:.*}", self.api.handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handle_signals=False)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        assert self._runner is not None
        context = self.tls.server_context() if self.tls else None
        self._site = web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=context, reuse_address=True, backlog=512)
        await self._site.start()
        assert self._site._server is not None
        self.port = self._site._server.sockets[0].getsockname()[1]

    def call(self, action: Callable[[API], Any]) -> Any:
        async def run() -> Any:
            return action(self.api)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def down(self) -> None:
        """Takes no connection any more, and closes those there are, until `up`."""

        async def stop() -> None:
            assert self._site is not None
            await self._site.stop()
            self.api.drop_connections()

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(30)

    def up(self) -> None:
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(30)

    def add_fault(self, kind: str, **rest: Any) -> None:
        self.call(lambda api: api.faults.append(Fault(kind, **rest)))

    def clear_faults(self) -> None:
        self.call(lambda api: api.faults.clear())

    def counters(self) -> dict:
        return self.call(lambda api: api.counters())

    def namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        metadata = {"name": name, **({"labels": labels} if labels else {})}
        self.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def create(self, plural: str, obj: dict, namespace: str | None = None) -> dict:
        """As another client would."""
        def act(api: API) -> dict:
            resource = api.find(plural)
            home = namespace or obj["metadata"].get("namespace", "default") if resource.is_namespaced else ""
            return api.create(resource, obj, home).obj

        return self.call(act)

    def update(self, plural: str, obj: dict, subresource: str = "") -> dict:
        return self.call(lambda api: api.update(
            api.find(plural), (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), obj,
            subresource=subresource)[0].obj)

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        self.call(lambda api: api.delete(api.find(plural), (namespace, name)))

    def get(self, plural: str, name: str, namespace: str = "") -> dict | None:
        stored = self.call(lambda api: api.find(plural).objects.get((namespace, name)))
        return stored.obj if stored else None

    def all(self, plural: str) -> list[dict]:
        return self.call(lambda api: [stored.obj for stored in api.find(plural).objects.values()])

    def kubeconfig(self, path: pathlib.Path, **user: Any) -> pathlib.Path:
        """Writes how to reach the server; `user` in the place of the token."""
        cluster: dict = {"server": self.url}
        if self.tls:
            cluster["certificate-authority-data"] = base64.b64encode(self.tls.authority).decode()
        credentials = user or ({"token": self.token} if self.token else {})
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": cluster}], "users": [{"name": "fake", "user": credentials}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "default"}}],
        }))  # fmt: skip
        path.chmod(0o600)
        return path


class Certificates:
    """An authority of its own, the server's certificate and a client's."""

    def __init__(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        now = datetime.datetime.now(datetime.timezone.utc)

        def pem(key: Any) -> bytes:
            return key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

        def certificate(name: str, key: Any, issuer: Any, issuer_key: Any, is_authority: bool) -> Any:
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            builder = (
                x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))
                .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            )  # fmt: skip
            if name == "server":
                names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            return builder.sign(issuer_key, hashes.SHA256())

        authority_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        authority = certificate("fake authority", authority_key, None, authority_key, True)
        server = certificate("server", server_key, authority.subject, authority_key, False)
        client = certificate("client", client_key, authority.subject, authority_key, False)
        encoding = serialization.Encoding.PEM
        self.authority = authority.public_bytes(encoding)
        self.server, self.server_key = server.public_bytes(encoding), pem(server_key)
        self.client, self.client_key = client.public_bytes(encoding), pem(client_key)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.server + self.server_key)
            file.flush()
            context.load_cert_chain(file.name)
        context.load_verify_locations(cadata=self.authority.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--crds", type=pathlib.Path)
    parser.add_argument("--kubeconfig", type=pathlib.Path)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--token")
    parser.add_argument("--history", type=int, default=20_000)
    parser.add_argument("--bookmark-seconds", type=float, default=60)
    options = parser.parse_args()
    with FakeAPI(
        port=options.port, tls=options.tls, crds=options.crds, token=options.token, history=options.history,
        bookmark_seconds=options.bookmark_seconds,
    ) as api:  # fmt: skip
        if options.kubeconfig:
            api.kubeconfig(options.kubeconfig)
        print(f"listening on {api.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
