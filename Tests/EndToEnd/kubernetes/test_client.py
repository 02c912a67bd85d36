"""The Kubernetes client against an API server, a strict and faulty one of ours and `kmock`, which is not ours."""

from __future__ import annotations

import asyncio
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kmock
import pytest
import yaml
from fake_api import FakeAPI, Fault
from probe import Failed, Probe

NewAPI = Callable[..., FakeAPI]
NewProbe = Callable[..., Probe]


def config_map(name: str, namespace: str = "default", labels: dict | None = None, **data: str) -> dict:
    metadata: dict = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def make(api: FakeAPI, count: int, start: int = 0) -> None:
    """Many objects at once, as other clients would."""

    def act(state: Any) -> None:
        resource = state.find("configmaps")
        for number in range(start, start + count):
            state.create(resource, config_map(f"c{number:05}"), "default")

    api.call(act)


def settle(condition: Callable[[], bool]) -> None:
    """Waits for what has no message to wait for."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


# Requests


def test_objects_are_created_read_changed_and_deleted(api: FakeAPI, probe: Probe) -> None:
    made = probe.do("create", resource="configmaps", namespace="default", object=config_map("a", x="1"))
    assert made["data"] == {"x": "1"} and "managedFields" not in made["metadata"]
    assert probe.do("get", resource="configmaps", namespace="default", name="a") == made
    with pytest.raises(Failed) as refused:
        probe.do("create", resource="configmaps", namespace="default", object=config_map("a"))
    assert refused.value.error == "alreadyExists"

    made["data"]["x"] = "2"
    changed = probe.do("replace", resource="configmaps", object=made)
    assert changed["data"] == {"x": "2"}
    with pytest.raises(Failed) as refused:
        probe.do("replace", resource="configmaps", object=made)
    assert refused.value.error == "conflict"

    patch = {"data": {"x": None, "y": "3"}}
    patched = probe.do("patch", resource="configmaps", namespace="default", name="a", object=patch)
    assert patched["data"] == {"y": "3"}
    with pytest.raises(Failed) as refused:
        probe.do("delete", resource="configmaps", namespace="default", name="a", uid="another")
    assert refused.value.error == "conflict"
    probe.do("delete", resource="configmaps", namespace="default", name="a", uid=made["metadata"]["uid"])
    with pytest.raises(Failed) as refused:
        probe.do("get", resource="configmaps", namespace="default", name="a")
    assert refused.value.error == "notFound"


def test_what_the_server_refuses_is_told(api: FakeAPI, probe: Probe) -> None:
    with pytest.raises(Failed) as refused:
        probe.do("create", resource="configmaps", namespace="default", object=config_map("Not A Name"))
    assert refused.value.error == "invalid" and "metadata.name" in refused.value.message
    api.add_fault("status", status=403, verb="get")
    with pytest.raises(Failed) as refused:
        probe.do("get", resource="configmaps", namespace="default", name="a")
    assert refused.value.error == "forbidden"
    # Asking again would not help.
    assert api.counters()["requests"]["get configmaps"] == 1


def test_a_name_leads_to_no_other_path(api: FakeAPI, probe: Probe) -> None:
    for name in ("../secrets/a", "a/status", "..", "a%2fb"):
        with pytest.raises(Failed) as refused:
            probe.do("get", resource="configmaps", namespace="default", name=name)
        assert refused.value.error == "invalid"
    assert not api.counters()["requests"]


def test_apply_sets_its_fields_and_removes_those_it_no_longer_names(api: FakeAPI, probe: Probe) -> None:
    api.create("configmaps", config_map("a", x="1", other="o"))
    first = probe.do("apply", resource="configmaps", object=config_map("a", labels={"l": "v"}, x="2", y="2"))
    assert first["data"] == {"x": "2", "y": "2", "other": "o"}
    second = probe.do("apply", resource="configmaps", object=config_map("a", x="2"))
    assert second["data"] == {"x": "2", "other": "o"} and "labels" not in second["metadata"]
    # The same again changes nothing.
    third = probe.do("apply", resource="configmaps", object=config_map("a", x="2"))
    assert third == second
    assert api.counters()["no_op_writes"] == {"apply configmaps": 1}


def test_status_is_written_apart_from_the_rest(api: FakeAPI, probe: Probe) -> None:
    system = {"apiVersion": "casa.io/v1alpha1", "kind": "MultiAgentSystem",
              "metadata": {"name": "m", "namespace": "default"}, "spec": {"name": "m"}}  # fmt: skip
    made = probe.do("create", resource="multiagentsystems", namespace="default", object={
        **system, "status": {"phase": "Active"}})  # fmt: skip
    assert "status" not in made and made["metadata"]["generation"] == 1
    changed = probe.do(
        "patch-status", resource="multiagentsystems", namespace="default", name="m", object={"phase": "Active"})
    assert changed["status"] == {"phase": "Active"} and changed["metadata"]["generation"] == 1
    changed = probe.do("apply", resource="multiagentsystems", subresource="status", object={
        **system, "status": {"phase": "Failed"}})  # fmt: skip
    assert changed["status"] == {"phase": "Failed"} and changed["spec"] == {"name": "m"}
    changed = probe.do("patch", resource="multiagentsystems", namespace="default", name="m", object={
        "spec": {"name": "n"}, "status": None})  # fmt: skip
    assert changed["status"] == {"phase": "Failed"} and changed["metadata"]["generation"] == 2


def test_events_are_told_once_for_a_reason(api: FakeAPI, probe: Probe) -> None:
    api.create("configmaps", config_map("a"))
    for _ in range(3):
        probe.do("event", resource="configmaps", namespace="default", name="a", reason="Broken", message="it is broken")
    probe.do("event", resource="configmaps", namespace="default", name="a", reason="Mended", message="it works")
    assert sorted(event["reason"] for event in api.all("events")) == ["Broken", "Mended"]
    assert all(event["involvedObject"]["uid"] for event in api.all("events"))


# Lists


def test_a_long_list_comes_in_pages_as_of_one_moment(api: FakeAPI, new_probe: NewProbe) -> None:
    make(api, 1203)
    listed = new_probe(api, "--page", "100").do("list", resource="configmaps", namespace="default")
    assert [item["metadata"]["name"] for item in listed["items"]] == [f"c{number:05}" for number in range(1203)]
    assert api.counters()["requests"]["list configmaps"] == 13
    assert all(item["kind"] == "ConfigMap" for item in listed["items"])


def test_a_list_whose_continuation_expired_begins_again(api: FakeAPI, new_probe: NewProbe) -> None:
    make(api, 50)
    probe = new_probe(api, "--page", "20")
    api.call(lambda state: state.faults.append(Fault("delay", verb="list", seconds=0.05)))
    number = probe.start("list", resource="configmaps")
    settle(lambda: api.counters()["requests"].get("list configmaps", 0) >= 2)
    api.call(lambda state: state.compact())
    result = probe.next(number)["result"]
    assert len(result["items"]) == 50
    assert api.counters()["statuses"]["410"] >= 1


def test_pages_that_are_too_long_are_asked_for_smaller(api: FakeAPI, new_probe: NewProbe) -> None:
    for number in range(8):
        api.create("configmaps", config_map(f"c{number}", x="x" * 20_000))
    listed = new_probe(api, "--page-bytes", "50000").do("list", resource="configmaps")
    assert len(listed["items"]) == 8


def test_an_object_that_cant_be_read_hides_no_other(api: FakeAPI, probe: Probe) -> None:
    api.create("configmaps", config_map("a"))
    api.create("configmaps", config_map("b", x="\0"))
    api.create("configmaps", config_map("c"))
    listed = probe.do("list", resource="configmaps")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "c"]
    assert [text.split(":")[0] for text in listed["unreadable"]] == ["default/b"]


def test_lists_take_selectors(api: FakeAPI, probe: Probe) -> None:
    api.create("configmaps", config_map("a", labels={"app": "x"}))
    api.create("configmaps", config_map("b", labels={"app": "y"}))
    listed = probe.do("list", resource="configmaps", labels="app in (x, z)")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
    listed = probe.do("list", resource="configmaps", fields="metadata.name=b")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["b"]


# What goes wrong


@pytest.mark.parametrize("fault", [
    Fault("status", status=500, count=2), Fault("status", status=503, count=2), Fault("status", status=504, count=2),
    Fault("status", status=429, retry_after=0, count=2), Fault("reset", count=2), Fault("truncate", count=2),
    Fault("delay", seconds=1, count=1),
], ids=lambda fault: f"{fault.kind}-{fault.status}")  # fmt: skip
def test_what_passes_is_asked_again(api: FakeAPI, new_probe: NewProbe, fault: Fault) -> None:
    api.create("configmaps", config_map("a", x="1"))
    probe = new_probe(api, "--attempt-ms", "500")
    api.call(lambda state: state.faults.append(fault))
    assert probe.do("get", resource="configmaps", namespace="default", name="a")["data"] == {"x": "1"}
    assert probe.do("apply", resource="configmaps", object=config_map("a", x="2"))["data"] == {"x": "2"}


@pytest.mark.parametrize(("fault", "expected"), [
    (Fault("status", status=500), "server"), (Fault("reset"), "unreachable"), (Fault("truncate"), "unreachable"),
    (Fault("garbage"), "malformed"), (Fault("status", status=429, retry_after=1000), "tooManyRequests"),
    (Fault("delay", seconds=20), "unreachable"),
], ids=lambda value: value.kind if isinstance(value, Fault) else "")  # fmt: skip
def test_what_does_not_pass_is_given_up_in_time(api: FakeAPI, new_probe: NewProbe, fault: Fault, expected: str) -> None:
    api.create("configmaps", config_map("a"))
    probe = new_probe(api, "--attempt-ms", "300", "--total-ms", "1500", "--attempts", "3")
    api.call(lambda state: state.faults.append(fault))
    begin = time.monotonic()
    with pytest.raises(Failed) as failed:
        probe.do("get", resource="configmaps", namespace="default", name="a")
    assert failed.value.error == expected
    assert time.monotonic() - begin < 5
    assert api.counters()["requests"]["get configmaps"] <= 3


def test_retry_after_is_waited_for(api: FakeAPI, probe: Probe) -> None:
    api.create("configmaps", config_map("a"))
    api.add_fault("status", status=429, retry_after=1, count=1)
    begin = time.monotonic()
    probe.do("get", resource="configmaps", namespace="default", name="a")
    assert time.monotonic() - begin >= 1


@pytest.mark.parametrize("fault", ["lost", "truncate"])
def test_a_creation_whose_answer_is_lost_is_not_sent_again(api: FakeAPI, probe: Probe, fault: str) -> None:
    api.add_fault(fault, verb="create", count=1)
    with pytest.raises(Failed) as failed:
        probe.do("create", resource="configmaps", namespace="default", object=config_map("a"))
    assert failed.value.error == "unreachable"
    assert api.counters()["requests"]["create configmaps"] == 1
    assert api.get("configmaps", "a", "default")


def test_a_creation_that_was_not_carried_out_is_sent_again(api: FakeAPI, probe: Probe) -> None:
    api.add_fault("status", status=429, retry_after=0, verb="create", count=2)
    assert probe.do("create", resource="configmaps", namespace="default", object=config_map("a"))
    assert api.counters()["requests"]["create configmaps"] == 3


def test_a_server_that_is_gone_for_a_while_is_asked_again(api: FakeAPI, probe: Probe) -> None:
    api.create("configmaps", config_map("a"))
    probe.do("get", resource="configmaps", namespace="default", name="a")
    api.down()
    number = probe.start("get", resource="configmaps", namespace="default", name="a")
    time.sleep(0.05)  # some attempts fail
    api.up()
    assert probe.next(number)["result"]["metadata"]["name"] == "a"


def test_requests_keep_to_their_rate(api: FakeAPI, new_probe: NewProbe) -> None:
    api.create("configmaps", config_map("a"))
    probe = new_probe(api, "--rate", "40")
    begin = time.monotonic()
    numbers = [probe.start("get", resource="configmaps", namespace="default", name="a") for _ in range(21)]
    for number in numbers:
        assert "result" in probe.next(number)
    assert time.monotonic() - begin >= 0.5


# How the server is reached


@pytest.mark.parametrize("way", ["token", "certificate"])
def test_https_with_an_authority_of_its_own(
    new_api: NewAPI, new_probe: NewProbe, tmp_path: pathlib.Path, way: str
) -> None:
    api = new_api(tls=True, token="t-1")
    (tmp_path / "client.crt").write_bytes(api.tls.client)
    (tmp_path / "client.key").write_bytes(api.tls.client_key)
    user = {"token": "t-1"} if way == "token" else {"client-certificate": "client.crt", "client-key": "client.key"}
    probe = new_probe(api.kubeconfig(tmp_path / "kubeconfig", **user))
    assert len(probe.do("list", resource="namespaces")["items"]) == 3


def test_another_servers_certificate_is_refused(
    new_api: NewAPI, new_probe: NewProbe, tmp_path: pathlib.Path
) -> None:
    api, other = new_api(tls=True), new_api(tls=True)
    path = api.kubeconfig(tmp_path / "kubeconfig")
    config = yaml.safe_load(path.read_text())
    config["clusters"][0]["cluster"]["server"] = other.url
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(Failed) as failed:
        new_probe(path, "--attempts", "1").do("list", resource="namespaces")
    assert failed.value.error == "unreachable" and "TLS" in failed.value.message


def test_a_pods_token_is_read_anew_when_it_is_refused(
    new_api: NewAPI, new_probe: NewProbe, tmp_path: pathlib.Path
) -> None:
    api = new_api(tls=True, token="t-1")
    (tmp_path / "ca.crt").write_bytes(api.tls.authority)
    (tmp_path / "namespace").write_text("default")
    (tmp_path / "token").write_text("t-1\n")
    probe = new_probe(None, "--pod", str(tmp_path), "--host", "127.0.0.1", "--port", str(api.port))
    assert probe.first == {"ready": api.url}
    assert probe.do("list", resource="namespaces")["items"]
    (tmp_path / "token").write_text("t-2")
    api.call(lambda state: setattr(state, "token", "t-2"))
    assert probe.do("list", resource="namespaces")["items"]
    api.call(lambda state: setattr(state, "token", "t-3"))
    with pytest.raises(Failed) as failed:
        probe.do("list", resource="namespaces")
    assert failed.value.error == "unauthorized"
    log = next(tmp_path.glob("probe-*.log")).read_text()
    assert "t-1" not in log and "t-2" not in log


def test_an_exec_plugin_is_refused_with_what_to_use(api: FakeAPI, new_probe: NewProbe, tmp_path: pathlib.Path) -> None:
    path = api.kubeconfig(tmp_path / "kubeconfig", exec={"command": "aws"})
    assert "kubectl create token" in new_probe(path).first["refused"]


# Watches


def test_a_watch_tells_what_happens(new_api: NewAPI, new_probe: NewProbe) -> None:
    api = new_api(bookmark_seconds=0.2)
    api.create("configmaps", config_map("before"))
    probe = new_probe(api)
    start = probe.do("list", resource="configmaps")["resourceVersion"]
    number = probe.start("watch", resource="configmaps", **{"from": start})
    made = api.create("configmaps", config_map("a", x="1"))
    event = probe.next(number)["event"]
    assert event["type"] == "added" and event["object"]["metadata"]["name"] == "a"
    api.update("configmaps", {**made, "data": {"x": "2"}})
    assert probe.next(number)["event"]["object"]["data"] == {"x": "2"}
    api.delete("configmaps", "a", "default")
    assert probe.next(number)["event"]["type"] == "deleted"
    api.create("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    assert int(probe.until(number)[-1]["event"]["resourceVersion"]) > int(start)
    api.call(lambda state: state.break_watches())
    probe.until(number, result="ended")


@pytest.mark.parametrize(("fault", "expected"), [
    ("end-watch", "ended"), ("expire-watch", "expired"), ("break-watch", "malformed"), ("garbage-watch", "malformed"),
    ("reset-watch", "unreachable"),
])  # fmt: skip
def test_a_watch_ends_as_it_was_ended(api: FakeAPI, probe: Probe, fault: str, expected: str) -> None:
    start = probe.do("list", resource="configmaps")["resourceVersion"]
    make(api, 3)
    api.add_fault(fault, after=2, count=1)
    number = probe.start("watch", resource="configmaps", **{"from": start})
    assert [probe.next(number)["event"]["type"] for _ in range(2)] == ["added", "added"]
    last = probe.next(number)
    assert (last.get("event") or {}).get("type", last.get("error", last.get("result"))) == expected


def test_a_watch_from_too_long_ago_is_told_so(api: FakeAPI, probe: Probe) -> None:
    start = probe.do("list", resource="configmaps")["resourceVersion"]
    make(api, 1)
    api.call(lambda state: state.compact())
    number = probe.start("watch", resource="configmaps", **{"from": start})
    assert probe.next(number)["event"] == {"type": "expired"}
    assert probe.next(number)["result"] == "ended"
    # Some servers say it by the answer's status.
    api.add_fault("status", status=410, verb="watch", count=1)
    number = probe.start("watch", resource="configmaps", **{"from": start})
    assert probe.next(number)["event"] == {"type": "expired"}


def test_a_silent_watch_is_ended(api: FakeAPI, new_probe: NewProbe) -> None:
    probe = new_probe(api, "--idle-ms", "300")
    number = probe.start("watch", resource="configmaps", **{"from": "1003"})
    assert probe.next(number)["result"] == "ended"


# The cache


def versions(api: FakeAPI, plural: str = "configmaps") -> dict[str, str]:
    return {f"{obj['metadata']['namespace']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"]
            for obj in api.all(plural)}  # fmt: skip


def cached(probe: Probe, number: int) -> dict[str, str]:
    objects = probe.do("cached", of=number)
    return {key: obj["metadata"]["resourceVersion"] for key, obj in objects.items()}


def test_a_cache_follows_the_server(api: FakeAPI, probe: Probe) -> None:
    make(api, 20)
    number = probe.start("cache", resource="configmaps")
    told = {message.get("changed") for message in probe.until(number, synced=20)}
    assert len(told - {None}) == 20
    made = api.create("configmaps", config_map("x", a="1"))
    assert probe.next(number)["version"] == made["metadata"]["resourceVersion"]
    api.delete("configmaps", "x", "default")
    assert probe.next(number) == {"id": number, "changed": "default/x", "version": None}
    assert cached(probe, number) == versions(api)
    assert all("managedFields" not in obj["metadata"] for obj in probe.do("cached", of=number).values())
    # One list, one watch.
    assert api.counters()["requests"] == {"list configmaps": 1, "watch configmaps": 1}


def test_a_cache_goes_on_where_its_watch_was(api: FakeAPI, probe: Probe) -> None:
    number = probe.start("cache", resource="configmaps")
    probe.until(number, synced=0)
    last = 0
    for round_ in range(5):
        settle(lambda: api.counters()["watches"] == 1)
        assert api.call(lambda state: state.watched_from["configmaps"]) >= last
        last = int(api.create("configmaps", config_map(f"x{round_}"))["metadata"]["resourceVersion"])
        assert probe.next(number)["changed"] == f"default/x{round_}"
        api.call(lambda state: state.break_watches())
    assert api.counters()["requests"]["list configmaps"] == 1


def test_a_cache_lists_again_when_its_place_expired_and_tells_what_is_gone(api: FakeAPI, probe: Probe) -> None:
    make(api, 3)
    number = probe.start("cache", resource="configmaps")
    probe.until(number, synced=3)
    settle(lambda: api.counters()["watches"] == 1)
    api.down()
    api.delete("configmaps", "c00000", "default")
    changed = api.update("configmaps", config_map("c00001", x="new"))
    api.create("configmaps", config_map("new"))
    api.call(lambda state: state.compact())
    api.up()
    told = {message["changed"]: message["version"] for message in (probe.next(number) for _ in range(3))}
    assert told == {"default/c00000": None, "default/c00001": changed["metadata"]["resourceVersion"],
                    "default/new": api.get("configmaps", "new", "default")["metadata"]["resourceVersion"]}  # fmt: skip
    assert cached(probe, number) == versions(api)


def test_a_cache_of_a_server_that_ends_every_watch_at_once_asks_ever_less(api: FakeAPI, probe: Probe) -> None:
    api.add_fault("end-watch")
    number = probe.start("cache", resource="configmaps")
    probe.until(number, synced=0)
    time.sleep(1)
    assert api.counters()["requests"]["watch configmaps"] < 30


@pytest.mark.parametrize("seed", range(3))
def test_a_cache_ends_up_like_the_server_whatever_goes_wrong(
    new_api: NewAPI, new_probe: NewProbe, seed: int
) -> None:
    api = new_api(seed=seed, history=60, bookmark_seconds=0.1)
    make(api, 40)
    for fault in (
        Fault("end-watch", probability=0.2, after=3), Fault("break-watch", probability=0.1, after=2),
        Fault("garbage-watch", probability=0.1, after=1), Fault("reset-watch", probability=0.2, after=4),
        Fault("expire-watch", probability=0.1, after=2), Fault("status", status=500, probability=0.1),
        Fault("status", status=429, retry_after=0, probability=0.1), Fault("truncate", probability=0.1),
        Fault("reset", probability=0.1), Fault("status", status=410, verb="list", probability=0.1),
        Fault("delay", seconds=0.02, probability=0.2), Fault("garbage", verb="list", probability=0.05),
    ):  # fmt: skip
        api.call(lambda state, fault=fault: state.faults.append(fault))
    probe = new_probe(api, "--page", "7")
    number = probe.start("cache", resource="configmaps")

    def churn(state: Any, round_: int) -> None:
        resource = state.find("configmaps")
        for _ in range(12):
            name = f"c{state.random.randrange(60):05}"
            if ("default", name) in resource.objects:
                if state.random.random() < 0.3:
                    state.delete(resource, ("default", name))
                else:
                    state.update(resource, ("default", name), config_map(name, x=str(round_)))
            else:
                state.create(resource, config_map(name), "default")

    def seen() -> set[str]:
        return {name for name in api.counters()["requests"] if name.startswith("fault")}

    # A busy machine needs more rounds for as much to go wrong.
    for round_ in range(1000):
        if round_ >= 40 and len(seen()) >= 6:
            break
        api.call(lambda state: churn(state, round_))
        if round_ % 13 == 12:
            api.down()
            time.sleep(0.02)
            api.up()
        time.sleep(0.02)
    settle(lambda: cached(probe, number) == versions(api))
    # And what it told is what became of it.
    last: dict[str, Any] = {}

    def told() -> dict[str, str]:
        came = [message for message in probe.pending(number) if "changed" in message]
        last.update({message["changed"]: message["version"] for message in came})
        return {key: version for key, version in last.items() if version}

    settle(lambda: told() == versions(api))
    assert len(seen()) >= 6


def test_a_cache_of_ten_thousand_objects(api: FakeAPI, probe: Probe) -> None:
    make(api, 10_000)
    begin = time.monotonic()
    number = probe.start("cache", resource="configmaps", namespace="default")
    probe.until(number, synced=10_000)
    assert time.monotonic() - begin < 30
    assert api.counters()["requests"]["list configmaps"] == 20


# Election


def elect(probe: Probe, identity: str, lease: int = 3) -> int:
    """Where the lease, in seconds, is long, what is waited for does not come by its end."""
    return probe.start("elect", namespace="default", name="lead", identity=identity,
                       **{"lease-ms": lease * 1000, "renew-ms": lease * 667, "retry-ms": 200})  # fmt: skip


def test_one_leads_and_leaves_the_lease_to_the_next(api: FakeAPI, new_probe: NewProbe) -> None:
    first, second = new_probe(api), new_probe(api)
    one = elect(first, "one", 30)
    assert first.next(one)["leads"] is True
    two = elect(second, "two", 30)
    settle(lambda: api.counters()["requests"].get("get leases", 0) >= 4)
    assert second.pending(two) == []
    first.cancel(one)
    first.until(one, leads=False)
    first.until(one, result="ended")
    begin = time.monotonic()
    assert second.next(two)["leads"] is True
    # It did not wait for the lease to run out.
    assert time.monotonic() - begin < 15
    lease = api.get("leases", "lead", "default")
    assert lease["spec"]["holderIdentity"] == "two" and lease["spec"]["leaseTransitions"] >= 1


def test_one_leads_after_the_leader_died(api: FakeAPI, new_probe: NewProbe) -> None:
    first, second = new_probe(api), new_probe(api)
    assert first.next(elect(first, "one"))["leads"] is True
    two = elect(second, "two")
    settle(lambda: api.counters()["requests"].get("get leases", 0) >= 2)
    first.kill()
    begin = time.monotonic()
    assert second.next(two)["leads"] is True
    assert time.monotonic() - begin > 2


def test_a_leader_that_cant_renew_stops_before_another_may_lead(api: FakeAPI, new_probe: NewProbe) -> None:
    probe = new_probe(api)
    number = elect(probe, "one")
    assert probe.next(number)["leads"] is True
    begin = time.monotonic()
    api.down()
    assert probe.next(number)["leads"] is False
    assert time.monotonic() - begin < 3
    api.up()
    assert probe.next(number)["leads"] is True


def test_a_leader_that_finds_another_in_its_place_stops_at_once(api: FakeAPI, probe: Probe) -> None:
    number = elect(probe, "one", 30)
    assert probe.next(number)["leads"] is True
    lease = api.get("leases", "lead", "default")
    api.update("leases", {**lease, "metadata": {"name": "lead", "namespace": "default"},
                          "spec": {**lease["spec"], "holderIdentity": "two"}})  # fmt: skip
    assert probe.next(number, 15)["leads"] is False


# kmock


class Kmock:
    """kmock's emulator in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.handler: Any = None
        self.url = ""
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            self._stop = asyncio.Event()
            self.handler = kmock.KubernetesEmulator()
            async with kmock.Server(self.handler, host="127.0.0.1") as server, self.handler:
                for resource in ("v1/configmaps", "v1/secrets"):
                    self.handler.resources[resource] = {"namespaced": True, "kind": "ConfigMap"}
                self.url = str(server.url).rstrip("/")
                self._started.set()
                await self._stop.wait()

        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(serve())

    def __enter__(self) -> Kmock:
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@pytest.fixture
def kmock_probe(new_probe: NewProbe, tmp_path: pathlib.Path) -> Iterator[Probe]:
    with Kmock() as server:
        path = tmp_path / "kmock"
        path.write_text(yaml.safe_dump({
            "current-context": "k", "clusters": [{"name": "k", "cluster": {"server": server.url}}],
            "users": [{"name": "k", "user": {}}], "contexts": [{"name": "k", "context": {"cluster": "k", "user": "k"}}],
        }))  # fmt: skip
        probe = new_probe(path)
        yield probe
        probe.close()


def test_kmock_takes_all_requests(kmock_probe: Probe) -> None:
    probe = kmock_probe
    made = probe.do("create", resource="configmaps", namespace="default", object=config_map("a", x="1"))
    assert made["data"] == {"x": "1"}
    with pytest.raises(Failed):
        probe.do("create", resource="configmaps", namespace="default", object=config_map("a", x="1"))
    assert probe.do("get", resource="configmaps", namespace="default", name="a")["data"] == {"x": "1"}
    patched = probe.do("patch", resource="configmaps", namespace="default", name="a", object={"data": {"y": "2"}})
    assert patched["data"]["y"] == "2"
    applied = probe.do("apply", resource="configmaps", object=config_map("a", z="3"))
    assert applied["data"]["z"] == "3"
    assert len(probe.do("list", resource="configmaps", namespace="default")["items"]) == 1
    probe.do("delete", resource="configmaps", namespace="default", name="a")
    with pytest.raises(Failed) as failed:
        probe.do("get", resource="configmaps", namespace="default", name="a")
    assert failed.value.error == "notFound"
    assert probe.do("list", resource="configmaps", namespace="default")["items"] == []


def test_kmock_is_followed_by_a_cache(kmock_probe: Probe) -> None:
    probe = kmock_probe
    probe.do("create", resource="configmaps", namespace="default", object=config_map("a", x="1"))
    number = probe.start("cache", resource="configmaps", namespace="default")
    probe.until(number, synced=1)
    probe.do("create", resource="configmaps", namespace="default", object=config_map("b", x="1"))
    probe.until(number, changed="default/b")
    probe.do("patch", resource="configmaps", namespace="default", name="b", object={"data": {"x": "2"}})
    probe.until(number, changed="default/b")
    probe.do("delete", resource="configmaps", namespace="default", name="a")
    probe.until(number, changed="default/a")
    assert set(probe.do("cached", of=number)) == {"default/b"}
