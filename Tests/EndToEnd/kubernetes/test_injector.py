"""The webhooks over HTTPS: what an API server gets, whatever comes along with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import kubernetes_validate
import pytest
from casa_injector import IMAGE, Injector, Json, answer, patched, pod, review
from casa_runtime import binary, wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VERSIONS = [f"1.{minor}" for minor in range(28, 36)]


@pytest.fixture(scope="module")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    made = Injector(tmp_path_factory.mktemp("injector")).start()
    yield made
    made.stop()


@pytest.fixture
def client(injector: Injector) -> Iterator[httpx.Client]:
    with injector.client() as made:
        yield made


def names(made: Json, kind: str) -> list[str]:
    return [container["name"] for container in made["spec"][kind]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("native", [True, False])
def test_what_is_injected_is_a_pod_of_each_version(
    native: bool, version: str, injector: Injector, client: httpx.Client, plain: Injector
) -> None:
    with closing(client if native else plain.client()) as asked:
        before = pod()
        made = patched(before, answer(asked, "/mutate", review(before)))
        assert answer(asked, "/validate", review(made))["allowed"]
    assert names(made, "initContainers")[0] == "casa-intercept" and names(made, "initContainers")[-1] == "prepare"
    kubernetes_validate.validate(made, version, strict=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    """For clusters without native sidecars."""
    made = Injector(tmp_path_factory.mktemp("plain"), ("--image", IMAGE, "--no-native-sidecars")).start()
    yield made
    made.stop()


def test_a_pod_is_guarded_once(client: httpx.Client) -> None:
    before = pod()
    made = patched(before, answer(client, "/mutate", review(before)))
    assert names(made, "initContainers") == ["casa-intercept", "casa-authorize", "casa-sidecar", "prepare"]
    again = answer(client, "/mutate", review(made))
    assert again["allowed"] and "patch" not in again
    assert answer(client, "/mutate", review(before, dryRun=True))["patch"]
    assert not answer(client, "/validate", review(before))["allowed"]


def labelled(**labels: str) -> Json:
    made = pod()
    made["metadata"]["labels"] |= labels
    return made


def annotated(**annotations: str) -> Json:
    made = pod()
    made["metadata"]["annotations"] = annotations
    return made


def with_own(name: str) -> Json:
    """A pod that brings a container of such a name."""
    made = pod()
    made["spec"]["containers"].append({**made["spec"]["containers"][0], "name": name, "ports": []})
    return made


OPTING_OUT = {
    "CASA's label": labelled(**{"casa.io/injection": "disabled"}),
    "CASA's annotation": annotated(**{"casa.io/injection": "false"}),
    "a mesh's label": labelled(**{"sidecar.istio.io/inject": "false"}),
    "a mesh's annotation": annotated(**{"sidecar.istio.io/inject": "false", "sidecar.istio.io/status": "{}"}),
    "a workload's label": labelled(**{"casa.io/workload": "bank"}),
    "a container called the sidecar": with_own("casa-sidecar"),
}


@pytest.mark.parametrize(
    "what", [pytest.param(n, marks=pytest.mark.attack(41, f"opting out by {n}", layer="cluster")) for n in OPTING_OUT]
)
def test_attack_41_no_pod_opts_out(injector: Injector, client: httpx.Client, what: str) -> None:
    before = OPTING_OUT[what]
    assert not answer(client, "/validate", review(before))["allowed"], "it comes in as its author wrote it"
    mutated = answer(client, "/mutate", review(before))
    if mutated["allowed"]:
        made = patched(before, mutated)
        assert names(made, "initContainers")[:3] == ["casa-intercept", "casa-authorize", "casa-sidecar"]
        assert {container["image"] for container in made["spec"]["initContainers"][:3]} == {IMAGE}
        assert made["metadata"]["labels"]["casa.io/workload"] == "teller"
        assert answer(client, "/validate", review(made))["allowed"]
    else:
        assert mutated["status"]["code"] == 403 and "casa" in mutated["status"]["message"]


def test_a_refusal_says_what_to_change(client: httpx.Client) -> None:
    refused = answer(client, "/mutate", review(pod(hostNetwork=True, hostPID=True)))
    assert not refused["allowed"] and refused["status"]["code"] == 403
    assert "spec.hostNetwork" in refused["status"]["message"] and "spec.hostPID" in refused["status"]["message"]


BAD = {
    "nothing": b"", "no JSON": b"{", "two values": b"{} {}", "not UTF-8": b'{"request":{"uid":"\xff"}}',
    "a name twice": b'{"request":{"uid":"a"},"request":{"uid":"b"}}', "a list": b"[]", "no uid": b'{"request":{}}',
    "too deep": b"[" * 100_000, "a byte order mark": b"\xef\xbb\xbf{}",
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
def test_what_is_no_review_is_answered_400(client: httpx.Client, path: str, what: str) -> None:
    got = client.post(path, content=BAD[what], headers={"content-type": "application/json"})
    assert got.status_code == 400, got.text


def test_a_review_of_another_version_is_refused_by_its_uid(client: httpx.Client) -> None:
    asked = {**review(pod()), "apiVersion": "admission.k8s.io/v1beta1"}
    assert answer(client, "/mutate", asked)["status"]["code"] == 400
    assert answer(client, "/validate", review(pod(), "PATCH"))["status"]["code"] == 400


def test_other_requests_are_refused(client: httpx.Client) -> None:
    assert client.get("/mutate").status_code == 405
    assert client.post("/other", json={}).status_code == 404
    assert client.post("/mutate", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    assert client.post("/mutate", content=b"{}", headers=zipped).status_code == 415
    large = review(pod())
    large["request"]["object"]["metadata"]["annotations"] = {"a": "x" * (3 << 20)}
    assert client.post("/mutate", json=large).status_code == 413
    try:
        assert client.post("/mutate", json={}, headers={"x": "y" * 100_000}).status_code >= 400
    except httpx.TransportError:
        pass  # Cut off is as good.
    assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 200


def connection(injector: Injector) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", injector.port), timeout=20)
    return injector.context().wrap_socket(raw, server_hostname="localhost")


def test_slow_clients_hold_nothing(injector: Injector, client: httpx.Client) -> None:
    """Whoever sends no handshake, half a head or half a body is cut off; others are served meanwhile."""
    silent = [socket.create_connection(("127.0.0.1", injector.port), timeout=20) for _ in range(50)]
    half_head = connection(injector)
    half_head.sendall(b"POST /mutate HTTP/1.1\r\nHost: x\r\n")
    half_body = connection(injector)
    half_body.sendall(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    assert answer(client, "/mutate", review(pod()))["allowed"]
    began = time.monotonic()
    said = b""
    while chunk := half_body.recv(4096):
        said += chunk
    assert said.startswith(b"HTTP/1.1 408"), said
    # After 3 s: the API server does not wait for longer than 5 s.
    assert time.monotonic() - began < 8
    assert half_head.recv(1) == b""
    for each in silent:
        assert each.recv(1) == b""
        each.close()
    assert time.monotonic() - began < 25
    half_head.close()
    half_body.close()


def shown(injector: Injector) -> bytes:
    with connection(injector) as secured:
        certificate = secured.getpeercert(binary_form=True)
        assert certificate
        return certificate


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Injector]:
    made = Injector(tmp_path).start()
    yield made
    made.stop()


def test_a_new_certificate_is_taken_over_and_connections_stay(own: Injector) -> None:
    first = shown(own)
    with own.client() as open_client:
        assert open_client.get("/healthz").status_code == 200
        kept = connection(own)
        # As a Secret's volume is changed: both files at once.
        fresh = own.certificate(own.directory / "fresh")
        authority = (fresh / "ca.crt").read_text() + (own.directory / "tls/ca.crt").read_text()
        (own.directory / "tls/ca.crt").write_text(authority)
        for name in ("tls.crt", "tls.key"):
            os.replace(shutil.copy(fresh / name, fresh / "copy"), own.directory / "tls" / name)
        wait_until(lambda: shown(own) != first, "the new certificate is shown", 10)
        assert open_client.get("/healthz").status_code == 200
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(100).startswith(b"HTTP/1.1 200")
        assert kept.getpeercert(binary_form=True) == first
        kept.close()
    assert "casa_certificate_reloads_total 1" in own.metrics()


@pytest.mark.parametrize("broken", ["no certificate", "another's key", "gone"])
def test_a_broken_certificate_leaves_the_one_before(own: Injector, broken: str) -> None:
    first = shown(own)
    folder = own.directory / "tls"
    if broken == "no certificate":
        (folder / "tls.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif broken == "another's key":
        shutil.copy(own.certificate(own.directory / "other") / "tls.key", folder / "tls.key")
    else:
        (folder / "tls.crt").unlink()
    wait_until(lambda: "the one before stays in use" in own.log, "it says so", 10)
    assert shown(own) == first
    assert "casa_certificate_failures_total 1" in own.metrics()
    assert "BEGIN" not in own.log and (folder / "tls.key").read_text().splitlines()[1] not in own.log


def caller_certificate(folder: Path) -> Path:
    """A client's certificate of the authority in a folder, with its key."""
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    made = (
        x509.CertificateBuilder(authority.subject, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api-server")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(usage, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "caller.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return path


def test_a_caller_without_a_certificate_is_refused_where_one_is_asked_for(tmp_path: Path) -> None:
    callers = Injector(tmp_path).certificate(tmp_path / "callers", "api-server")
    made = Injector(tmp_path, ("--image", IMAGE, "--client-ca", str(callers / "ca.crt"))).start()
    try:
        with pytest.raises(httpx.TransportError), made.client() as stranger:
            stranger.get("/healthz")
        context = made.context()
        context.load_cert_chain(str(tmp_path / "tls/tls.crt"), str(tmp_path / "tls/tls.key"))
        with pytest.raises(httpx.TransportError), httpx.Client(verify=context, trust_env=False) as other:
            other.get(f"https://localhost:{made.port}/healthz")
        context = made.context()
        context.load_cert_chain(str(caller_certificate(callers)))
        with httpx.Client(verify=context, trust_env=False) as known:
            assert known.get(f"https://localhost:{made.port}/healthz").status_code == 200
        assert httpx.get(f"http://127.0.0.1:{made.metrics_port}/healthz", trust_env=False).status_code == 200
    finally:
        made.stop()


def test_it_ends_in_order_and_counts_what_it_did(tmp_path: Path) -> None:
    made = Injector(tmp_path).start()
    with made.client() as client:
        answer(client, "/mutate", review(pod()))
        answer(client, "/validate", review(pod()))
        client.post("/mutate", content=b"{", headers={"content-type": "application/json"})
    counted = dict(re.findall(r'casa_admission_reviews_total\{(.*)\} (\d+)', made.metrics()))
    assert counted['webhook="mutate",outcome="patched"'] == "1"
    assert counted['webhook="validate",outcome="refused"'] == "1"
    assert counted['webhook="mutate",outcome="malformed"'] == "1"
    assert made.stop() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--image", ""), ("--image", IMAGE, "--mode", "other"), ("--mode", "istio"),
        ("--image", IMAGE, "--default-user", "1337"), ("--image", IMAGE, "--listen", "9443"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused(arguments: tuple[str, ...]) -> None:
    command = [str(binary()), "injector", "--certificate", "/none", "--key", "/none", *arguments]
    assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 64


def test_without_a_certificate_it_does_not_start(tmp_path: Path) -> None:
    command = [str(binary()), "injector", "--image", IMAGE, "--certificate", "/none", "--key", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "/none can't be read" in done.stdout + done.stderr


def test_random_annotations_survive(client: httpx.Client) -> None:
    before = pod()
    before["metadata"]["annotations"] = {"a/b~c": json.dumps({"d": "é\u0001"}), "~1": "/"}
    made = patched(before, answer(client, "/mutate", review(before)))
    assert made["metadata"]["annotations"].items() >= before["metadata"]["annotations"].items()
