"""Attacks 1 to 3: tokens that the runtime never signed, or not like this.

Each is mounted twice: as a tool token at the bank's entrance, with the call it would be for, and as a user-input
token that the agent's sidecar would exchange at the runtime.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from attempts import TO_ATTACKER, TRANSFER, Attempt, attacks, sha256
from casa_runtime import Json
from casa_stack import Stack, Stolen, steal, tool_call
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from forging import OWN_KEY, ORDER, Genuine, compact, constant, decode, encode, es256, hs256, jwk_of

Forge = Callable[[Genuine], str]

PEM, DER = Encoding.PEM, Encoding.DER
SPKI = PublicFormat.SubjectPublicKeyInfo
INVALID = {"token_inactive", "token_malformed"}


@pytest.fixture
def stolen(stack: Stack) -> Stolen:
    return steal(stack)


@dataclass
class KeyHost:
    """A host that offers the attacker's key to whoever fetches it."""

    url: str
    asked: list[str]


@pytest.fixture(scope="module")
def key_host() -> Iterator[KeyHost]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield KeyHost(f"http://127.0.0.1:{server.server_port}/keys", asked)
    server.shutdown()
    server.server_close()


def mount_at_bank(stolen: Stolen, attempt: Attempt, forge: Forge, reasons: str | set[str]) -> None:
    """Presents a forged tool token with the very call it would be for."""
    genuine = Genuine(stolen.stack, stolen.t3(TRANSFER, TO_ATTACKER))
    forged = forge(genuine)
    assert forged != genuine.text
    attempt.begin()
    answer = stolen.stack.call_bank(forged, tool_call(TRANSFER, TO_ATTACKER))
    attempt.refused_by_proxy(answer, reasons, "bank")


def mount_at_runtime(stolen: Stolen, attempt: Attempt, forge: Forge, reasons: str | set[str]) -> None:
    """Has the agent's sidecar exchange a forged user-input token."""
    forged = forge(Genuine(stolen.stack, stolen.t1))
    assert forged != stolen.t1
    attempt.begin()
    answer = stolen.stack.app("agent").exchange(forged, "llm-access")
    attempt.refused_by_runtime(answer, reasons, "agent", subject_token_sha256=sha256(forged))
    attempt.assert_nothing("token_exchanged", stolen.trace_id)


def header_of(genuine: Genuine, **changes: object) -> Json:
    return {**genuine.header, **changes}


def with_header(sign: Callable[[Genuine], Callable[[bytes], bytes]], **changes: object) -> Forge:
    """The genuine claims under a changed header, signed in some way."""
    return lambda genuine: compact(header_of(genuine, **changes), genuine.claims, sign(genuine))


def with_public_key(secret: Callable[[Genuine], bytes], algorithm: str = "HS256") -> Forge:
    """Signed symmetrically, with what everybody knows as the secret."""
    return with_header(lambda genuine: hs256(secret(genuine)), alg=algorithm)


def jwk_text(genuine: Genuine) -> bytes:
    return genuine.stack.runtime.http.get("/oauth/jwks").content


def twice_alg(genuine: Genuine) -> str:
    kid = genuine.header["kid"]
    header = f'{{"alg":"ES256","alg":"none","kid":"{kid}","typ":"at+jwt"}}'.encode()
    return compact(header, genuine.claims, es256(OWN_KEY))


HEADERS: dict[str, Forge] = {
    "alg none without a signature": lambda genuine: unsigned(genuine, "none"),
    "alg nOnE without a signature": lambda genuine: unsigned(genuine, "nOnE"),
    "alg none with the genuine signature": with_header(lambda genuine: constant(genuine.signature), alg="none"),
    "no alg": lambda genuine: compact(
        {name: value for name, value in genuine.header.items() if name != "alg"}, genuine.claims, es256(OWN_KEY)
    ),
    "HS256 with the public key in PEM": with_public_key(lambda genuine: genuine.public_bytes(PEM, SPKI)),
    "HS256 with the public key in DER": with_public_key(lambda genuine: genuine.public_bytes(DER, SPKI)),
    "HS256 with the public key's point": with_public_key(
        lambda genuine: genuine.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    ),
    "HS256 with the public JWK set": with_public_key(jwk_text),
    "HS256 with the JWK's x": with_public_key(lambda genuine: decode(genuine.public_jwk["x"])),
    "HS256 with an empty secret": with_public_key(lambda _: b""),
    "HS512 with the public key in PEM": with_public_key(lambda genuine: genuine.public_bytes(PEM, SPKI), "HS512"),
    "alg EdDSA with the id of an EC key": with_header(lambda _: constant(b"\x01" * 64), alg="EdDSA"),
    "alg twice": twice_alg,
    "an unknown kid": lambda genuine: genuine.signed_by_own_key(kid="key_0"),
    "no kid": lambda genuine: compact({"alg": "ES256", "typ": "at+jwt"}, genuine.claims, es256(OWN_KEY)),
    "a kid that is a path": lambda genuine: genuine.signed_by_own_key(kid="../../../../dev/null"),
    "a kid that is SQL": lambda genuine: genuine.signed_by_own_key(kid="x' OR '1'='1"),
    "the kid of the runtime's key, another's signature": lambda genuine: genuine.signed_by_own_key(),
    "the attacker's key in jwk": lambda genuine: genuine.signed_by_own_key(jwk=jwk_of(OWN_KEY.public_key())),
    "the attacker's certificate in x5c": lambda genuine: genuine.signed_by_own_key(
        x5c=[base64.b64encode(OWN_KEY.public_key().public_bytes(DER, SPKI)).decode()]
    ),
    "the attacker's jwk under a genuine signature": lambda genuine: genuine.signed_by_stolen_key(
        header_of(genuine, jwk=jwk_of(OWN_KEY.public_key()))
    ),
    "an unknown crit": lambda genuine: genuine.signed_by_stolen_key(header_of(genuine, crit=["x"], x=1)),
    "an empty crit": lambda genuine: genuine.signed_by_stolen_key(header_of(genuine, crit=[])),
    "b64 false": lambda genuine: genuine.signed_by_stolen_key(header_of(genuine, b64=False, crit=["b64"])),
    "a signature of zeros": with_header(lambda _: constant(bytes(64))),
    "a signature of the curve's order": with_header(lambda _: constant(ORDER.to_bytes(32, "big") * 2)),
}


def unsigned(genuine: Genuine, algorithm: str) -> str:
    signed = compact(header_of(genuine, alg=algorithm), genuine.claims, constant(b""))
    assert signed.endswith(".")
    return signed


@attacks(1, "forge", HEADERS, "tool token: {}")
def test_a_tool_token_with_a_forged_header_calls_nothing(stolen: Stolen, attempt: Attempt, forge: Forge) -> None:
    mount_at_bank(stolen, attempt, forge, INVALID)


@attacks(1, "forge", HEADERS, "user-input token: {}")
def test_a_user_token_with_a_forged_header_is_exchanged_for_nothing(
    stolen: Stolen, attempt: Attempt, forge: Forge
) -> None:
    mount_at_runtime(stolen, attempt, forge, "token_inactive")


@attacks(1, "field", {"jku": "jku", "x5u": "x5u"}, "{} that names the attacker's key")
def test_no_key_is_fetched_from_where_a_token_says(
    stolen: Stolen, attempt: Attempt, key_host: KeyHost, field: str
) -> None:
    mount_at_bank(stolen, attempt, lambda genuine: genuine.signed_by_own_key(**{field: key_host.url}), INVALID)
    mount_at_runtime(stolen, attempt, lambda genuine: genuine.signed_by_own_key(**{field: key_host.url}), INVALID)
    assert key_host.asked == []


# Attack 2: with the runtime's own stolen key, so that only the claim itself can be what stops the token.


def seconds(offset: int) -> int:
    return int(time.time()) + offset


CLAIMS: dict[str, tuple[Forge, set[str], set[str]]] = {
    "expired": (
        lambda genuine: genuine.signed_by_stolen_key(exp=seconds(-1), iat=seconds(-301), nbf=seconds(-301)),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "without an expiry": (
        lambda genuine: genuine.signed_by_stolen_key(exp=None),
        {"token_malformed"},
        {"token_inactive"},
    ),
    "an expiry beyond the year 9999": (
        lambda genuine: genuine.signed_by_stolen_key(exp=1e300),
        {"token_malformed"},
        {"token_inactive"},
    ),
    "an expiry as text": (
        lambda genuine: genuine.signed_by_stolen_key(exp=str(seconds(300))),
        {"token_malformed"},
        {"token_inactive"},
    ),
    "not yet valid": (
        lambda genuine: genuine.signed_by_stolen_key(nbf=seconds(60), exp=seconds(300)),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "issued in the future": (
        lambda genuine: genuine.signed_by_stolen_key(iat=seconds(60), exp=seconds(300)),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "another issuer": (
        lambda genuine: genuine.signed_by_stolen_key(iss="https://elsewhere.example"),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "the issuer with a slash": (
        lambda genuine: genuine.signed_by_stolen_key(iss=genuine.claims["iss"] + "/"),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "addressed to another app": (
        lambda genuine: genuine.signed_by_stolen_key(aud="urn:casa:app:" + genuine.stack.ids["planner"]),
        {"token_not_for_this_app"},
        {"token_not_for_this_app"},
    ),
    "addressed to nobody": (
        lambda genuine: genuine.signed_by_stolen_key(aud=[]),
        {"token_not_for_this_app"},
        {"token_not_for_this_app"},
    ),
    "another MAS": (
        lambda genuine: genuine.signed_by_stolen_key(mas_id="mas_0"),
        {"token_not_for_this_app"},
        {"token_inactive"},
    ),
    "typ JWT": (
        lambda genuine: genuine.signed_by_stolen_key(header_of(genuine, typ="JWT")),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "typ AT+JWT": (
        lambda genuine: genuine.signed_by_stolen_key(header_of(genuine, typ="AT+JWT")),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "no typ": (
        lambda genuine: genuine.signed_by_stolen_key({k: v for k, v in genuine.header.items() if k != "typ"}),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "never issued": (
        lambda genuine: genuine.signed_by_stolen_key(jti="tok_0"),
        {"token_inactive"},
        {"token_inactive"},
    ),
    "a client that does not exist": (
        lambda genuine: genuine.signed_by_stolen_key(client_id="app_0"),
        {"token_inactive"},
        {"token_inactive"},
    ),
}

Claimed = tuple[Forge, set[str], set[str]]


@attacks(2, "claimed", CLAIMS, "tool token signed by the stolen key: {}")
def test_a_tool_token_with_a_wrong_claim_calls_nothing(stolen: Stolen, attempt: Attempt, claimed: Claimed) -> None:
    mount_at_bank(stolen, attempt, claimed[0], claimed[1])


@attacks(2, "claimed", CLAIMS, "user-input token signed by the stolen key: {}")
def test_a_user_token_with_a_wrong_claim_is_exchanged_for_nothing(
    stolen: Stolen, attempt: Attempt, claimed: Claimed
) -> None:
    mount_at_runtime(stolen, attempt, claimed[0], claimed[2])


def test_the_stolen_key_s_signature_is_good_when_nothing_is_wrong(stolen: Stolen) -> None:
    """What the refusals above rest on: it is the claim that is refused, not the hand that signed."""
    again = Genuine(stolen.stack, stolen.t3("get_contacts", {})).signed_by_stolen_key()
    assert stolen.stack.call_bank(again, tool_call("get_contacts", {})).status_code == 200
    t1 = Genuine(stolen.stack, stolen.t1).signed_by_stolen_key()
    assert stolen.stack.app("agent").exchange(t1, "llm-access").status_code == 200


# Attack 3: genuine parts, put together otherwise.


def swap_signature(genuine: Genuine) -> str:
    other = Genuine(genuine.stack, steal(genuine.stack).t1)
    return genuine.text.rsplit(".", 1)[0] + "." + encode(other.signature)


def swap_claims(genuine: Genuine) -> str:
    """Other claims under a genuine header and signature."""
    header, _, signature = genuine.text.split(".")
    claims = compact({}, {**genuine.claims, "exp": genuine.claims["exp"] + 1}, constant(b"x")).split(".")[1]
    return f"{header}.{claims}.{signature}"


def last_bits(genuine: Genuine) -> str:
    """Another last letter that stands for the same bytes."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = genuine.text[:-1] + letters[letters.index(genuine.text[-1]) ^ 1]
    assert decode(changed.split(".")[2]) == genuine.signature
    return changed


def der_signature(genuine: Genuine) -> str:
    r, s = (int.from_bytes(half, "big") for half in (genuine.signature[:32], genuine.signature[32:]))
    return genuine.text.rsplit(".", 1)[0] + "." + encode(encode_dss_signature(r, s))


SHAPES: dict[str, Forge] = {
    "the signature of another token": swap_signature,
    "other claims under the signature": swap_claims,
    "the last letter missing": lambda genuine: genuine.text[:-1],
    "half of the signature": lambda genuine: genuine.text[:-43],
    "no signature": lambda genuine: genuine.text.rsplit(".", 1)[0] + ".",
    "two parts": lambda genuine: genuine.text.rsplit(".", 1)[0],
    "four parts": lambda genuine: genuine.text + "." + genuine.text.split(".")[2],
    "left-over bits that are not zero": last_bits,
    "padding": lambda genuine: genuine.text + "==",
    "padding within": lambda genuine: genuine.text.replace(".", "=.", 1),
    "the signature in DER": der_signature,
    "a byte after the signature": lambda genuine: (
        genuine.text.rsplit(".", 1)[0] + "." + encode(genuine.signature + b"\0")
    ),
    "the other alphabet of base64": lambda genuine: genuine.text[:-2] + "+/",
    "a percent-encoded dot": lambda genuine: genuine.text.replace(".", "%2E", 1),
    "the header in other JSON, the same signature": lambda genuine: compact(
        genuine.header, genuine.claims, constant(genuine.signature)
    ),
}


@attacks(3, "forge", SHAPES, "tool token: {}")
def test_a_tool_token_in_another_shape_calls_nothing(stolen: Stolen, attempt: Attempt, forge: Forge) -> None:
    mount_at_bank(stolen, attempt, forge, INVALID)


@attacks(3, "forge", SHAPES, "user-input token: {}")
def test_a_user_token_in_another_shape_is_exchanged_for_nothing(
    stolen: Stolen, attempt: Attempt, forge: Forge
) -> None:
    mount_at_runtime(stolen, attempt, forge, "token_inactive")
