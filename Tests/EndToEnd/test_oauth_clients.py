"""OAuth and JOSE clients of other people's making against the runtime, and the RFCs line by line."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from casa_runtime import ACCESS_TOKEN, ASSERTION, DELIVERED, EXCHANGE, App, Cast, Json, Runtime, token_of, wait_until
from cryptography.hazmat.primitives import serialization
from joserfc import jwk as jose_keys
from joserfc import jws as jose_jws
from joserfc import jwt as jose_jwt
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session as RequestsOAuth2Session

PROMPT = "Please tell me what is on my account."
ALGORITHMS = ["ES256", "EdDSA"]


class KeyedClient:
    """An app that authenticates with a key of its own."""

    def __init__(self, cast: Cast, algorithm: str) -> None:
        self.algorithm = algorithm
        self.key = (
            jose_keys.ECKey.generate_key("P-256") if algorithm == "ES256" else jose_keys.OKPKey.generate_key("Ed25519")
        )
        public = {**self.key.as_dict(private=False), "kid": "k1", "alg": algorithm, "use": "sig"}
        name = f"keyed-{uuid.uuid4().hex[:8]}"
        self.runtime = cast.runtime
        self.app = cast.runtime.create_app(cast.mas, name, "client", jwks={"keys": [public]})

    def pem(self) -> bytes:
        pem: bytes = self.key.as_pem(private=True)
        return pem

    def assertion(self, header: Json | None = None, key: Any = None, **changes: Any) -> str:
        """A client assertion; a change to None leaves the claim out."""
        now = int(time.time())
        claims = {"iss": self.app.id, "sub": self.app.id, "aud": self.runtime.url + "/oauth/token", "iat": now}
        claims |= {"exp": now + 60, "jti": uuid.uuid4().hex} | changes
        present = {name: value for name, value in claims.items() if value is not None}
        signing = key or serialization.load_pem_private_key(self.pem(), None)
        return jwt.encode(present, signing, self.algorithm, headers={"kid": "k1", **(header or {})})

    def ask(self, assertion: str, **more: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "user_input": PROMPT, "client_assertion_type": ASSERTION}
        return self.runtime.http.post("/oauth/token", data={**form, "client_assertion": assertion, **more})


@pytest.fixture(params=ALGORITHMS)
def keyed(cast: Cast, request: pytest.FixtureRequest) -> KeyedClient:
    return KeyedClient(cast, request.param)


def claims_of(token: str) -> Json:
    claims: Json = jwt.decode(token, options={"verify_signature": False})
    return claims


def assert_oauth_error(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json().get("error")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["error_description"]


class TestClientLibraries:
    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    def test_authlib_gets_a_t1_with_a_client_secret(self, runtime: Runtime, cast: Cast, method: str) -> None:
        app = cast.client
        with OAuth2Session(app.id, app.secret, token_endpoint_auth_method=method) as session:
            endpoint = runtime.url + "/oauth/token"
            token = session.fetch_token(endpoint, grant_type="client_credentials", user_input=PROMPT)
        assert token["token_type"] == "Bearer" and token["scope"] == "user-input"
        assert app.is_active(token["access_token"])

    def test_authlib_gets_a_t1_with_private_key_jwt(self, runtime: Runtime, keyed: KeyedClient) -> None:
        endpoint = runtime.url + "/oauth/token"
        with OAuth2Client(keyed.app.id, keyed.key, token_endpoint_auth_method="private_key_jwt") as client:
            # Authlib's assertions live for an hour unless told otherwise; the runtime takes at most five minutes.
            claims = {"exp": int(time.time()) + 60}
            method = PrivateKeyJWT(endpoint, claims, headers={"kid": "k1"}, alg=keyed.algorithm)
            client.register_client_auth_method(method)
            token = client.fetch_token(endpoint, grant_type="client_credentials", user_input=PROMPT)
        assert claims_of(token["access_token"])["client_id"] == keyed.app.id

    def test_requests_oauthlib_gets_a_t1(
        self, runtime: Runtime, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
        session = RequestsOAuth2Session(client=BackendApplicationClient(cast.client.id))
        token = session.fetch_token(
            runtime.url + "/oauth/token", client_secret=cast.client.secret, user_input=PROMPT, include_client_id=False
        )
        assert cast.client.is_active(token["access_token"])

    def test_authlib_introspects_and_revokes(self, runtime: Runtime, cast: Cast) -> None:
        app = cast.client
        token = app.t1()
        with OAuth2Session(app.id, app.secret) as session:
            seen = session.introspect_token(runtime.url + "/oauth/introspect", token=token).json()
            assert seen["active"] is True and seen["client_id"] == app.id
            assert session.revoke_token(runtime.url + "/oauth/revoke", token=token).status_code == 200
            assert session.introspect_token(runtime.url + "/oauth/introspect", token=token).json() == {"active": False}

    def test_pyjwt_verifies_a_token_against_the_published_keys(self, runtime: Runtime, cast: Cast) -> None:
        token = cast.client.t1()
        key = jwt.PyJWKClient(runtime.url + "/oauth/jwks").get_signing_key_from_jwt(token)
        audience = "urn:casa:mas:" + cast.mas
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=audience, issuer=runtime.url)
        assert claims["sub"] == cast.client.id

    def test_joserfc_verifies_a_token_against_the_published_keys(self, runtime: Runtime, cast: Cast) -> None:
        keys = jose_keys.KeySet.import_key_set(runtime.http.get("/oauth/jwks").json())
        token = jose_jwt.decode(cast.client.t1(), keys, algorithms=["ES256"])
        jose_jwt.JWTClaimsRegistry(iss={"essential": True, "value": runtime.url}, exp={"essential": True}).validate(
            token.claims
        )
        assert token.header["typ"] == "at+jwt" and token.header["alg"] == "ES256"

    def test_a_runtime_that_signs_with_eddsa_is_verified_by_both_libraries(
        self, new_runtime: Callable[..., Runtime], new_cast: Callable[..., Cast]
    ) -> None:
        cast = new_cast(new_runtime("--algorithm", "EdDSA"))
        keys = cast.runtime.http.get("/oauth/jwks").json()
        token = cast.client.t1()
        signing = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, signing, algorithms=["EdDSA"], options={"verify_aud": False})
        jose_jws.deserialize_compact(token, jose_keys.KeySet.import_key_set(keys), algorithms=["EdDSA"])


class TestTokens:
    def test_a_t1_has_the_claims_of_rfc_9068(self, runtime: Runtime, cast: Cast) -> None:
        answer = cast.client.issue(PROMPT).json()
        claims = claims_of(answer["access_token"])
        assert jwt.get_unverified_header(answer["access_token"]).keys() == {"alg", "kid", "typ"}
        assert claims["iss"] == runtime.url and claims["sub"] == claims["client_id"] == cast.client.id
        assert claims["aud"] == "urn:casa:mas:" + cast.mas and claims["scope"] == "user-input"
        assert claims["exp"] - claims["iat"] == answer["expires_in"] == 300
        assert claims["nbf"] == claims["iat"] and claims["jti"]
        assert claims["user_input_sha256"] == hashlib.sha256(PROMPT.encode()).hexdigest()
        assert "act" not in claims and claims["user_input_id"] == answer["user_input_id"]

    def test_exchanges_narrow_a_t1_and_nest_the_actors(self, cast: Cast) -> None:
        t1 = cast.client.t1(audience=cast.agent.name)
        onward = cast.agent.exchange(t1, "user-input", audience=cast.second_agent.name)
        assert onward.json()["issued_token_type"] == ACCESS_TOKEN and onward.json()["token_type"] == "Bearer"
        t2 = claims_of(token_of(cast.second_agent.exchange(token_of(onward), "llm-access")))
        first, second = cast.agent.id, cast.second_agent.id
        assert t2["act"] == {"sub": second, "act": {"sub": first}}
        assert t2["sub"] == cast.client.id and t2["client_id"] == second
        assert t2["scope"] == "llm-access" and t2["tools"] == []
        assert t2["exp"] <= claims_of(t1)["exp"]

    def test_a_t3_is_bound_to_one_call_and_returns_the_granted_details(self, cast: Cast) -> None:
        t1, arguments = cast.selected_call()
        answer = cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments)
        digest = hashlib.sha256(b"{}").hexdigest()
        granted = [{"type": "mcp_tool_call", "server": "bank", "tool": Cast.TOOL, "arguments_sha256": digest}]
        claims = claims_of(token_of(answer))
        assert answer.json()["authorization_details"] == granted == claims["authorization_details"]
        assert claims["aud"] == "urn:casa:app:" + cast.bank.id and claims["tools"] == [Cast.TOOL]

    def test_a_t3_is_refused_without_the_llms_selection_and_the_decision_is_in_the_trace(self, cast: Cast) -> None:
        issued = cast.client.issue(audience="assistant").json()
        token_of(cast.agent.exchange(issued["access_token"], "llm-access"))
        answer = cast.agent.exchange_for_call(issued["access_token"], "bank", Cast.TOOL, {})
        assert_oauth_error(answer, 403, "access_denied")
        assert answer.json()["reason"] == "no_llm_calls_made_by_app"
        refused = cast.runtime.events(issued["user_input_id"], "exchange_refused")
        assert [event["payload"]["decision"]["decision_id"] for event in refused] == [answer.json()["decision_id"]]

    def test_a_selection_of_other_arguments_does_not_serve(self, cast: Cast) -> None:
        t1, _ = cast.selected_call({"limit": 5})
        answer = cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, {"limit": 6})
        assert (answer.status_code, answer.json()["reason"]) == (403, "tool_not_selected_by_llm")

    def test_a_t3_is_spent_once(self, cast: Cast) -> None:
        t3 = cast.t3()
        first, second = cast.bank.spend(t3), cast.bank.spend(t3)
        assert first.status_code == 200 and first.json()["active"] is True
        assert_oauth_error(second, 403, "access_denied")
        assert second.json()["reason"] == "token_spent"
        assert cast.bank.introspect(t3) == {"active": False}

    def test_a_t3_is_not_spent_by_an_app_it_is_not_addressed_to(self, cast: Cast) -> None:
        t3 = cast.t3()
        assert cast.agent.spend(t3).status_code == 403
        assert cast.bank.spend(t3).status_code == 200

    def test_tools_narrow_a_token_and_never_widen_it(self, cast: Cast) -> None:
        t1 = cast.client.t1(tools="get_contacts get_transactions", audience="assistant")
        assert claims_of(t1)["tools"] == ["get_contacts", "get_transactions"]
        narrow = token_of(cast.agent.exchange(t1, "user-input", audience="planner", tools="get_contacts"))
        assert claims_of(narrow)["tools"] == ["get_contacts"]
        wider = cast.second_agent.exchange(narrow, "user-input", audience="assistant", tools="get_transactions")
        assert_oauth_error(wider, 400, "invalid_scope")

    def test_a_lifetime_narrows_and_is_never_longer_than_the_subjects(self, cast: Cast) -> None:
        t1 = cast.client.t1(audience="assistant", expires_in="60")
        assert claims_of(t1)["exp"] - claims_of(t1)["iat"] == 60
        assert_oauth_error(cast.agent.exchange(t1, "llm-access", expires_in="299"), 400, "invalid_request")
        assert claims_of(token_of(cast.agent.exchange(t1, "llm-access")))["exp"] <= claims_of(t1)["exp"]

    def test_an_expired_token_is_inactive(
        self, new_runtime: Callable[..., Runtime], new_cast: Callable[..., Cast]
    ) -> None:
        cast = new_cast(new_runtime("--token-lifetime", "1"))
        token = cast.client.t1()
        wait_until(lambda: cast.client.introspect(token) == {"active": False}, "the token has expired")
        assert time.time() >= claims_of(token)["exp"]

    def test_a_user_input_is_continued_by_its_id_alone_and_by_its_client_alone(self, cast: Cast) -> None:
        first = cast.client.issue(PROMPT).json()
        again = cast.client.post(
            "/oauth/token", {"grant_type": "client_credentials", "user_input_id": first["user_input_id"]}
        )
        assert again.json()["trace_id"] == first["trace_id"]
        other = cast.runtime.create_app(cast.mas, f"c-{uuid.uuid4().hex[:8]}", "client")
        form = {"grant_type": "client_credentials", "user_input_id": first["user_input_id"]}
        assert_oauth_error(other.post("/oauth/token", form), 400, "invalid_request")


class TestTokenEndpoint:
    def test_answers_are_not_stored(self, cast: Cast) -> None:
        for answer in [
            cast.client.issue(),
            cast.client.post("/oauth/introspect", {"token": "x"}),
            cast.client.post("/oauth/token", {"colour": "blue"}),
        ]:
            assert answer.headers["cache-control"] == "no-store" and answer.headers["pragma"] == "no-cache"

    def test_unknown_parameters_are_ignored(self, cast: Cast) -> None:
        assert cast.client.issue(PROMPT, colour="blue").status_code == 200

    def test_a_parameter_without_a_value_counts_as_not_sent(self, cast: Cast) -> None:
        assert cast.client.issue(PROMPT, audience="", tools="").status_code == 200
        assert_oauth_error(cast.client.issue(""), 400, "invalid_request")

    @pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/spend"])
    def test_a_repeated_parameter_is_refused(self, cast: Cast, path: str) -> None:
        body = b"grant_type=client_credentials&user_input=a&user_input=b&token=x&token=y"
        answer = cast.runtime.http.post(
            path,
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
            auth=(cast.client.id, cast.client.secret or ""),
        )
        assert_oauth_error(answer, 400, "invalid_request")

    def test_a_missing_and_an_unknown_grant_type_are_told_apart(self, cast: Cast) -> None:
        assert_oauth_error(cast.client.post("/oauth/token", {"colour": "blue"}), 400, "invalid_request")
        answer = cast.client.post("/oauth/token", {"grant_type": "password"})
        assert_oauth_error(answer, 400, "unsupported_grant_type")
        answer = cast.client.post("/oauth/token/exchange", {"grant_type": "client_credentials", "user_input": "x"})
        assert_oauth_error(answer, 400, "unsupported_grant_type")

    def test_only_a_client_app_speaks_for_users(self, cast: Cast) -> None:
        assert_oauth_error(cast.agent.issue(PROMPT), 400, "unauthorized_client")

    def test_a_failed_client_gets_401_with_a_challenge(self, cast: Cast) -> None:
        wrong = App(cast.runtime, cast.client.id, "teller", cast.mas, "cs_wrong")
        unknown = App(cast.runtime, "app_unknown", "nobody", cast.mas, cast.client.secret)
        for answer in [
            wrong.issue(),
            unknown.issue(),
            cast.runtime.http.post("/oauth/token", data={"grant_type": "client_credentials", "user_input": "x"}),
        ]:
            assert_oauth_error(answer, 401, "invalid_client")
            assert answer.headers["www-authenticate"].startswith("Basic realm=")

    def test_two_ways_to_authenticate_at_once_are_refused(self, cast: Cast) -> None:
        both = {"client_id": cast.client.id, "client_secret": cast.client.secret or ""}
        assert_oauth_error(cast.client.issue(PROMPT, **both), 400, "invalid_request")

    def test_a_client_id_that_differs_from_the_authenticated_one_is_refused(self, cast: Cast) -> None:
        assert cast.client.issue(PROMPT, client_id=cast.client.id).status_code == 200
        assert_oauth_error(cast.client.issue(PROMPT, client_id=cast.agent.id), 401, "invalid_client")

    def test_a_secret_in_the_query_does_not_authenticate(self, cast: Cast) -> None:
        query = {"client_id": cast.client.id, "client_secret": cast.client.secret or ""}
        form = {"grant_type": "client_credentials", "user_input": PROMPT}
        answer = cast.runtime.http.post("/oauth/token", params=query, data=form)
        assert_oauth_error(answer, 401, "invalid_client")

    def test_a_rotated_secret_replaces_the_one_before(self, cast: Cast) -> None:
        app = cast.runtime.create_app(cast.mas, f"c-{uuid.uuid4().hex[:8]}", "client")
        fresh = cast.runtime.admin("POST", f"/apps/{app.id}/secret")["client_secret"]
        assert app.issue().status_code == 401
        app.secret = fresh
        assert app.issue().status_code == 200

    def test_a_trace_id_begins_one_session_only(self, cast: Cast) -> None:
        trace = uuid.uuid4().hex
        parent = f"00-{trace}-00f067aa0ba902b7-01"
        assert cast.client.issue(PROMPT, traceparent=parent).json()["trace_id"] == trace
        assert_oauth_error(cast.client.issue(PROMPT, trace_id=trace), 400, "invalid_request")

    @pytest.mark.parametrize(
        "parent",
        ["00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff-" + "1" * 32 + "-00f067aa0ba902b7-01", "00-ABC-1-01", "x"],
    )
    def test_a_malformed_traceparent_is_refused(self, cast: Cast, parent: str) -> None:
        assert_oauth_error(cast.client.issue(PROMPT, traceparent=parent), 400, "invalid_request")


class TestExchange:
    @pytest.mark.parametrize("absent", ["subject_token", "subject_token_type"])
    def test_the_subject_and_its_type_are_needed(self, cast: Cast, absent: str) -> None:
        form = {"grant_type": EXCHANGE, "subject_token": cast.client.t1(audience="assistant"), "scope": "llm-access"}
        form["subject_token_type"] = ACCESS_TOKEN
        del form[absent]
        assert_oauth_error(cast.agent.post("/oauth/token", form), 400, "invalid_request")

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
            ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
            ({"actor_token": "x"}, "invalid_request"),
            ({"actor_token_type": ACCESS_TOKEN}, "invalid_request"),
            ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request"),
            ({"audience": "assistant"}, "invalid_target"),
            ({"audience": "bank", "resource": "planner"}, "invalid_target"),
            ({"resource": "http://nowhere.example"}, "invalid_target"),
            ({"scope": "admin"}, "invalid_scope"),
            ({"scope": "user-input llm-access"}, "invalid_scope"),
            ({"scope": "discover-tools"}, "invalid_scope"),
            ({"scope": "call-tools"}, "invalid_authorization_details"),
            ({"authorization_details": "[]"}, "invalid_authorization_details"),
            ({"authorization_details": '[{"type":"payment"}]'}, "invalid_authorization_details"),
            ({"authorization_details": '[{"type":"mcp_tool_call","type":"x"}]'}, "invalid_authorization_details"),
        ],
    )
    def test_what_can_not_be_granted_has_the_error_its_rfc_names(self, cast: Cast, more: Json, code: str) -> None:
        t1 = cast.client.t1(audience="assistant")
        form = {"grant_type": EXCHANGE, "subject_token": t1, "subject_token_type": ACCESS_TOKEN, "scope": "llm-access"}
        assert_oauth_error(cast.agent.post("/oauth/token", {**form, **more}), 400, code)

    def test_resource_names_the_callee_as_audience_does(self, cast: Cast) -> None:
        t1 = cast.client.t1(audience="assistant")
        urn = "urn:casa:app:" + cast.second_agent.id
        for naming in [{"audience": "planner"}, {"resource": urn}, {"audience": urn, "resource": urn}]:
            assert urn in claims_of(token_of(cast.agent.exchange(t1, "user-input", **naming)))["aud"]

    def test_an_actor_token_of_the_client_itself_is_taken(self, cast: Cast) -> None:
        t1 = cast.client.t1(audience="assistant")
        mine = token_of(cast.agent.exchange(t1, "llm-access"))
        actor = {"actor_token": mine, "actor_token_type": ACCESS_TOKEN}
        assert cast.agent.exchange(t1, "llm-access", **actor).status_code == 200
        assert_oauth_error(
            cast.agent.exchange(t1, "llm-access", **{**actor, "actor_token": t1}), 400, "invalid_request"
        )

    def test_a_token_that_was_not_delivered_to_the_client_is_refused(self, cast: Cast, new_cast: Any) -> None:
        t1 = cast.client.t1(audience="assistant")
        assert_oauth_error(cast.second_agent.exchange(t1, "llm-access"), 400, "invalid_request")
        assert_oauth_error(new_cast().agent.exchange(t1, "llm-access"), 400, "invalid_request")

    def test_a_t2_and_a_t3_can_not_be_exchanged(self, cast: Cast) -> None:
        t1, arguments = cast.selected_call()
        t2 = token_of(cast.agent.exchange(t1, "llm-access"))
        t3 = token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments))
        for subject in [t2, t3]:
            assert_oauth_error(cast.agent.exchange(subject, "llm-access"), 400, "invalid_scope")

    def test_an_mcp_server_exchanges_nothing(self, cast: Cast) -> None:
        t1 = cast.client.t1(audience="bank")
        assert_oauth_error(cast.bank.exchange(t1, "llm-access"), 400, "unauthorized_client")


class TestForgedTokens:
    def parts(self, token: str) -> tuple[Json, Json]:
        return jwt.get_unverified_header(token), claims_of(token)

    def encode(self, value: Json | bytes) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def test_none_and_symmetric_algorithms_are_refused(self, cast: Cast) -> None:
        header, claims = self.parts(cast.client.t1())
        public = cast.runtime.http.get("/oauth/jwks").json()["keys"][0]["x"] + "padding"
        unsigned = f"{self.encode({**header, 'alg': 'none'})}.{self.encode(claims)}."
        symmetric = jwt.encode(claims, public, "HS256", headers=header | {"alg": "HS256"})
        for forged in [unsigned, unsigned + self.encode(b"x"), symmetric]:
            assert cast.client.introspect(forged) == {"active": False}

    def test_a_token_of_another_key_is_refused_whatever_its_header_offers(self, cast: Cast) -> None:
        header, claims = self.parts(cast.client.t1())
        key = jose_keys.ECKey.generate_key("P-256")
        own = serialization.load_pem_private_key(key.as_pem(private=True), None)
        offers: list[Json] = [
            {},
            {"kid": "unknown"},
            {"jwk": key.as_dict(private=False)},
            {"jku": cast.runtime.url + "/oauth/jwks"},
            {"x5u": cast.runtime.url},
            {"crit": ["x"], "x": 1},
        ]
        for offer in offers:
            forged = jwt.encode(claims, own, "ES256", headers={**header, **offer})
            assert cast.client.introspect(forged) == {"active": False}, offer

    def test_a_changed_token_is_refused(self, cast: Cast) -> None:
        token = cast.client.t1()
        header, claims, signature = token.split(".")
        wider = self.encode({**claims_of(token), "exp": claims_of(token)["exp"] + 1000})
        flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
        for changed in [f"{header}.{wider}.{signature}", f"{header}.{claims}.{flipped}", token + ".x", token[:-1]]:
            assert cast.client.introspect(changed) == {"active": False}


class TestIntrospectionAndRevocation:
    @pytest.mark.parametrize("token", ["x", "a.b.c", "é", "A" * 9000, "eyJ.eyJ.x"])
    def test_a_token_that_is_none_is_inactive_and_nothing_more_is_told(self, cast: Cast, token: str) -> None:
        assert cast.client.introspect(token) == {"active": False}

    def test_introspection_and_spending_need_authentication_and_a_token(self, cast: Cast) -> None:
        for path in ["/oauth/introspect", "/oauth/revoke", "/oauth/spend"]:
            assert_oauth_error(cast.runtime.http.post(path, data={"token": "x"}), 401, "invalid_client")
            assert_oauth_error(cast.client.post(path, {"colour": "blue"}), 400, "invalid_request")

    def test_a_token_of_others_is_inactive(self, cast: Cast, new_cast: Any) -> None:
        token = cast.client.t1(audience="assistant")
        assert cast.agent.is_active(token)
        assert cast.second_agent.introspect(token) == {"active": False}
        assert new_cast().client.introspect(token) == {"active": False}

    def test_revoking_answers_200_for_unknown_and_foreign_tokens_and_leaves_them_alone(self, cast: Cast) -> None:
        token = cast.client.t1(audience="assistant")
        for nonsense in ["x", "a.b.c", token + "x"]:
            assert cast.client.revoke(nonsense).status_code == 200
        assert cast.agent.revoke(token).status_code == 200
        assert cast.client.is_active(token)

    def test_a_revoked_t1_ends_every_token_exchanged_from_it(self, cast: Cast) -> None:
        t1, arguments = cast.selected_call()
        onward = token_of(cast.agent.exchange(t1, "user-input", audience="planner"))
        t2 = token_of(cast.second_agent.exchange(onward, "llm-access"))
        t3 = token_of(cast.agent.exchange_for_call(t1, "bank", Cast.TOOL, arguments))
        assert cast.client.revoke(t1).status_code == 200
        for app, token in [(cast.client, t1), (cast.agent, onward), (cast.second_agent, t2), (cast.agent, t3)]:
            assert app.introspect(token) == {"active": False}
        assert cast.bank.spend(t3).status_code == 403
        assert_oauth_error(cast.agent.exchange(t1, "llm-access"), 400, "invalid_request")

    def test_tokens_of_a_deleted_app_are_inactive(self, new_cast: Any) -> None:
        cast = new_cast()
        t1 = cast.client.t1(audience="assistant")
        cast.runtime.admin("DELETE", f"/apps/{cast.client.id}", status=204)
        assert cast.agent.introspect(t1) == {"active": False}


class TestClientAssertions:
    def test_an_assertion_is_taken_once(self, keyed: KeyedClient) -> None:
        assertion = keyed.assertion()
        assert keyed.ask(assertion).status_code == 200
        assert_oauth_error(keyed.ask(assertion), 401, "invalid_client")

    def test_the_issuer_is_an_audience_too(self, keyed: KeyedClient) -> None:
        assert keyed.ask(keyed.assertion(aud=keyed.runtime.url)).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "app_other"},
            {"sub": "app_other"},
            {"sub": None},
            {"aud": "https://elsewhere.example"},
            {"aud": None},
            {"exp": None},
            {"jti": None},
            {"jti": "x" * 257},
            {"exp": 1},
            {"exp": int(time.time()) + 3600},
            {"nbf": int(time.time()) + 3600},
            {"exp": "soon"},
        ],
        ids=str,
    )
    def test_an_assertion_with_wrong_claims_is_refused(self, keyed: KeyedClient, changes: Json) -> None:
        assert_oauth_error(keyed.ask(keyed.assertion(**changes)), 401, "invalid_client")

    def test_an_assertion_by_another_key_or_kid_is_refused(self, cast: Cast, keyed: KeyedClient) -> None:
        other = serialization.load_pem_private_key(KeyedClient(cast, keyed.algorithm).pem(), None)
        assert_oauth_error(keyed.ask(keyed.assertion(key=other)), 401, "invalid_client")
        assert_oauth_error(keyed.ask(keyed.assertion(header={"kid": "k2"})), 401, "invalid_client")

    def test_an_assertion_of_another_type_or_client_is_refused(self, cast: Cast, keyed: KeyedClient) -> None:
        answer = keyed.ask(keyed.assertion(), client_assertion_type="urn:ietf:params:oauth:grant-type:saml2-bearer")
        assert_oauth_error(answer, 400, "invalid_request")
        assert_oauth_error(keyed.ask(keyed.assertion(), client_id=cast.client.id), 401, "invalid_client")

    def test_private_keys_are_refused_where_public_ones_belong(self, cast: Cast) -> None:
        key = jose_keys.ECKey.generate_key("P-256").as_dict(private=True)
        body = {"mas_id": cast.mas, "name": "leaky", "kind": "client", "jwks": {"keys": [key]}}
        answer = cast.runtime.admin("POST", "/apps", body, 400)
        assert answer["errors"][0]["field"] == "jwks" and key["d"] not in json.dumps(answer)


class TestAdministrator:
    def test_a_missing_credential_is_challenged_and_a_wrong_one_is_named_invalid(self, runtime: Runtime) -> None:
        missing = runtime.http.get("/mas")
        wrong = runtime.http.get("/mas", headers={"authorization": "Bearer wrong"})
        assert missing.status_code == wrong.status_code == 401
        assert missing.headers["www-authenticate"] == 'Bearer realm="casa"'
        assert wrong.headers["www-authenticate"] == 'Bearer realm="casa", error="invalid_token"'
        assert wrong.headers["content-type"] == "application/problem+json"

    def test_a_filter_without_a_value_is_refused_rather_than_dropped(self, runtime: Runtime) -> None:
        for path in ["/apps?mas_id=", "/apps?mas_id", "/trace/events?session="]:
            assert runtime.http.get(path, headers=runtime.admin_headers).status_code == 400

    def test_names_are_unique_and_conflicts_are_told(self, runtime: Runtime, cast: Cast) -> None:
        body = {"mas_id": cast.mas, "name": cast.client.name, "kind": "client"}
        assert "exists" in runtime.admin("POST", "/apps", body, 409)["detail"]
        assert "apps" in runtime.admin("DELETE", f"/mas/{cast.mas}", status=409)["detail"]
        runtime.admin("POST", "/apps", {**body, "mas_id": "mas_unknown"}, 404)

    def test_a_server_that_can_not_be_reached_is_told_and_an_agent_has_no_tools(self, cast: Cast) -> None:
        name = f"s-{uuid.uuid4().hex[:8]}"
        deaf = cast.runtime.create_app(cast.mas, name, "mcp_server", base_url="http://127.0.0.1:1/mcp")
        assert "reached" in cast.runtime.admin("POST", f"/apps/{deaf.id}/tools/discover", status=409)["detail"]
        cast.runtime.admin("POST", f"/apps/{cast.agent.id}/tools/discover", status=409)


class TestKeysAndMetadata:
    def test_tokens_outlive_the_rotation_of_their_key(self, new_cast: Any, new_runtime: Any) -> None:
        cast = new_cast(new_runtime())
        old = cast.client.t1()
        fresh = cast.runtime.admin("POST", "/keys/rotate")
        new = cast.client.t1()
        assert jwt.get_unverified_header(new)["kid"] == fresh["kid"] != jwt.get_unverified_header(old)["kid"]
        keys = cast.runtime.http.get("/oauth/jwks").json()
        assert keys["keys"][0]["kid"] == fresh["kid"] and len(keys["keys"]) == 2
        for token in [old, new]:
            assert cast.client.is_active(token)
            jose_jws.deserialize_compact(token, jose_keys.KeySet.import_key_set(keys), algorithms=["ES256"])

    def test_published_keys_hold_nothing_private(self, runtime: Runtime) -> None:
        answer = runtime.http.get("/oauth/jwks")
        assert answer.headers["content-type"] == "application/jwk-set+json"
        for key in answer.json()["keys"]:
            assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}

    def test_metadata_names_the_issuer_it_is_fetched_from_and_endpoints_that_answer(self, runtime: Runtime) -> None:
        metadata = runtime.http.get("/.well-known/oauth-authorization-server").json()
        assert metadata["issuer"] == runtime.url
        assert metadata["grant_types_supported"] == ["client_credentials", EXCHANGE, DELIVERED]
        assert metadata["token_endpoint_auth_signing_alg_values_supported"] == ALGORITHMS
        assert metadata["authorization_details_types_supported"] == ["mcp_tool_call"]
        assert set(metadata["token_endpoint_auth_methods_supported"]) == {
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        }
        for name in ["token_endpoint", "introspection_endpoint", "revocation_endpoint"]:
            assert httpx.post(metadata[name], data={"token": "x"}, trust_env=False).status_code == 401
        assert httpx.get(metadata["jwks_uri"], trust_env=False).status_code == 200

    def test_head_is_get_without_a_body(self, runtime: Runtime) -> None:
        for path in ["/healthz", "/oauth/jwks"]:
            head, get = runtime.http.head(path), runtime.http.get(path)
            assert head.status_code == get.status_code == 200
            assert head.headers["content-length"] == str(len(get.content)) and head.content == b""
