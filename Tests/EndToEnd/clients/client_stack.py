"""The banking example with more apps around it, all of them programs of SDKs that nobody here wrote.

`desk`, a client, asks two agents: the secretary (A2A SDK, every binding) and the assistant (A2A, OpenAI and MCP SDKs),
which hands no trace context on. The assistant has the bank, the LLM, and two servers of FastMCP: `contacts` answers with
server-sent events, `directory` with JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casa_runtime import Json, free_port, wait_until
from casa_stack import NO_RULE, START_DEADLINE, Endpoints, Session, Stack, message_send, new_traceparent

HERE = Path(__file__).parent
MORE_WAYS = (
    "desk->secretary",
    "desk->assistant",
    "secretary",
    "assistant",
    "assistant->bank",
    "assistant->llm",
    "assistant->contacts",
    "assistant->directory",
    "contacts",
    "directory",
)
DIRECTORIES = {"contacts": "text/event-stream", "directory": "application/json"}
"""The servers of FastMCP, with how they answer."""
ALLOWED = ["resources/list", "resources/read"]
"""What the administrator lets through to the directory, beside its tools."""


@dataclass(frozen=True)
class ClientEndpoints(Endpoints):
    secretary_app: int = field(default_factory=free_port)
    assistant_app: int = field(default_factory=free_port)
    contacts_app: int = field(default_factory=free_port)
    directory_app: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.ports.update({name: free_port() for name in MORE_WAYS})

    def url(self, name: str) -> str:
        if name.split("->")[-1] in DIRECTORIES:
            return f"http://127.0.0.1:{self.ports[name]}/mcp"
        return super().url(name)

    def system(self, key_file: Path, adapter: str | None = None, checks: tuple[str, ...] | None = None) -> str:
        def listen(name: str) -> str:
            return f'listen: "127.0.0.1:{self.ports[name]}"'

        llm = f'llm: "http://127.0.0.1:{self.llm_app}/v1", api_key_file: "{key_file}"'
        servers = "".join(
            f"""
  - name: {name}
    kind: mcp_server
    url: http://127.0.0.1:{port}/mcp
    {listen(name)}"""
            for name, port in (("contacts", self.contacts_app), ("directory", self.directory_app))
        )
        return f"""{super().system(key_file, adapter, checks).rstrip()}
  - name: desk
    kind: client
    calls:
      - {{app: secretary, {listen("desk->secretary")}}}
      - {{app: assistant, {listen("desk->assistant")}}}
  - name: secretary
    kind: agent
    url: http://127.0.0.1:{self.secretary_app}/
    {listen("secretary")}
  - name: assistant
    kind: agent
    url: http://127.0.0.1:{self.assistant_app}/
    {listen("assistant")}
    calls:
      - {{app: bank, {listen("assistant->bank")}}}
      - {{{llm}, {listen("assistant->llm")}}}
      - {{app: contacts, {listen("assistant->contacts")}}}
      - {{app: directory, {listen("assistant->directory")}}}{servers}
"""


@dataclass
class ClientStack(Stack):
    """The running system."""

    endpoints: ClientEndpoints = field(default_factory=ClientEndpoints)

    def start(self) -> ClientStack:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.card_url_file.write_text(self.url("desk->secretary"))
        super().start()
        # What a sidecar knows of its peers it knows for a minute, unless it begins anew.
        settings: Json = {"base_url": f"http://127.0.0.1:{self.endpoints.directory_app}/mcp"}
        self.runtime.admin("PUT", f"/apps/{self.ids['directory']}", {**settings, "allowed_methods": ALLOWED})
        self.restart_authorization()
        return self

    def restart_authorization(self) -> None:
        """Kills the authorization service and waits until the one that is started in its place answers."""
        self.kill("authorize")

        def answers() -> bool:
            return self.http.get(self.url("desk->secretary") + ".well-known/agent-card.json").status_code == 200

        wait_until(answers, "the authorization service is back", START_DEADLINE)

    @property
    def card_url_file(self) -> Path:
        """Holds the address that the secretary's card names."""
        return (self.apps.directory if self.apps else self.directory) / "card-url"

    def _apps(self) -> dict[str, list[str]]:
        ports = self.endpoints

        def script(name: str, port: int, *arguments: str) -> list[str]:
            return [str(HERE / name), "--port", str(port), *arguments]

        llm = self.url("assistant->llm").removesuffix("/chat/completions")
        ways = ["--mcp-url", self.url("assistant->bank"), "--llm-base-url", llm]
        return {
            **super()._apps(),
            "secretary": script("secretary_agent.py", ports.secretary_app, "--card-url-file", str(self.card_url_file)),
            "assistant": script(
                "untraced_agent.py", ports.assistant_app, "--public-url", self.url("desk->assistant"), *ways
            ),
            "contacts": script("contacts_server.py", ports.contacts_app, "--of", "contacts"),
            "directory": script("contacts_server.py", ports.directory_app, "--of", "directory", "--json"),
        }

    @property
    def app_ports(self) -> list[int]:
        ports = self.endpoints
        more = [ports.secretary_app, ports.assistant_app, ports.contacts_app, ports.directory_app]
        return [*super().app_ports, *more]

    @property
    def servers(self) -> list[str]:
        return [*super().servers, *DIRECTORIES]

    # Acting

    def open(self, words: str = NO_RULE) -> Session:
        """A session that was delivered to the assistant, which did nothing in it but ask the LLM."""
        traceparent = new_traceparent()
        url, headers = self.url("desk->assistant"), {"traceparent": traceparent}
        answer = self.http.post(url, json=message_send(words), headers=headers)
        assert answer.status_code == 200, answer.text
        return Session(self, traceparent)

    def change_tools(self, server: str, **changes: Any) -> None:
        """Changes what a server of FastMCP lists; without changes it lists what it began with."""
        port = {"contacts": self.endpoints.contacts_app, "directory": self.endpoints.directory_app}[server]
        answer = self.http.post(f"http://127.0.0.1:{port}/change", json=changes)
        assert answer.status_code == 200, answer.text

    @contextmanager
    def changed_tools(self, server: str, **changes: Any) -> Iterator[None]:
        self.change_tools(server, **changes)
        try:
            yield
        finally:
            self.change_tools(server)
