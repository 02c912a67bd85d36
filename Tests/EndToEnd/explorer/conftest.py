"""A fixture server with data of a test's own, and a browser that notes whatever goes wrong in it."""
import json
import os
import pathlib
import subprocess
import time

import pytest
from playwright.sync_api import sync_playwright

BINARY = os.environ.get("CASA_EXPLORER_FIXTURE", ".build/debug/ExplorerFixture")


class Server:
    """The Explorer over given data."""

    def __init__(self, folder, data, credential=None, port=0):
        self.folder = folder
        self.live = folder / "live.jsonl"
        self.live.touch()
        path = folder / "data.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        self.credential = credential
        self.start(port)

    def start(self, port):
        command = [BINARY, str(port), str(self.folder / "data.json"), str(self.live)] + ([self.credential] if self.credential else [])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("port "), f"the fixture did not start: {line!r}"
        self.port = int(line.split()[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def append(self, *events):
        with self.live.open("a", encoding="utf-8") as file:
            for event in events:
                file.write(json.dumps(event) + "\n")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        self.start(self.port)


@pytest.fixture
def serve(tmp_path):
    servers = []

    def make(data, credential=None):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, data, credential))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def chromium():
    path = next((p for p in ("/usr/bin/chromium", "/usr/bin/google-chrome") if pathlib.Path(p).exists()), None)
    if path is None:
        pytest.fail("chromium is not installed; scripts/setup test installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium):
    """Opens pages; at the end no page may have had an error, a message on its console or a breach of its policy."""
    contexts, problems = [], []

    def make(allowed=(), **options):
        context = chromium.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()

        def note(text):
            if not any(part in text for part in allowed):
                problems.append(text)

        page.on("console", lambda message: message.type in ("error", "warning") and note(f"console: {message.text}"))
        page.on("pageerror", lambda error: note(f"error: {error}"))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('policy breached: ' + e.violatedDirective + ' ' + e.blockedURI))")
        return page

    yield make
    for context in contexts:
        context.close()
    assert problems == []
