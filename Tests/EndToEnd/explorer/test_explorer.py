"""The Explorer in a real browser."""
import re
import time
import urllib.error
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe

import data

PAGES = ["/explorer", "/explorer/systems", "/explorer/systems?view=grid", f"/explorer/systems/{data.BANK}", "/explorer/sessions",
         "/explorer/sessions/{session}", "/explorer/live", "/explorer/search?q=anna", "/explorer/search", "/explorer/alerts"]


def addresses(server, content):
    session = content["sessions"][0]["id"] if content["sessions"] else "inp_none"
    return [server.address + page.format(session=session) for page in PAGES]


def get(address, method="GET", body=None, **headers):
    request = urllib.request.Request(address, data=body, method=method, headers=headers)

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments):
            return None

    try:
        return urllib.request.build_opener(Stay).open(request, timeout=10)
    except urllib.error.HTTPError as error:
        return error


def until(page, condition):
    """Waits for what the page's policy lets no script of its own evaluate."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(.02)


def test_every_page_shows_its_data(serve, new_page):
    content = data.plausible()
    server, page = serve(content), new_page()
    expected = ["Calls over time", "travel desk", "banking", "transfer_money", "Pay Anna 25 euros", "Pay Anna 25 euros",
                "Waiting for events", "Pay Anna", "Type in the field", "which is not its addressee"]
    for address, text in zip(addresses(server, content), expected, strict=True):
        page.goto(address)
        assert text in page.content(), address
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is wider than the window"


@pytest.mark.parametrize("width", [360, 2560])
def test_pages_fit_a_phone_and_a_wall(serve, new_page, width):
    content = data.plausible()
    server, page = serve(content), new_page(viewport={"width": width, "height": 740})
    for address in addresses(server, content):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{address} is wider than {width} px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_breaks_an_accessibility_rule(serve, new_page, scheme):
    content = data.plausible()
    server, page = serve(content), new_page(color_scheme=scheme, reduced_motion="reduce")
    found = []
    for address in [*addresses(server, content), server.address + f"/explorer/sessions/{content['sessions'][2]['id']}"]:
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for violation in Axe().run(page).response["violations"]:
            found.append((address, violation["id"], [node["html"][:160] for node in violation["nodes"][:3]]))
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sign_in_breaks_no_accessibility_rule(serve, new_page, scheme):
    server, page = serve(data.plausible(), credential="secret"), new_page(color_scheme=scheme)
    page.goto(server.address + "/explorer")
    assert [v["id"] for v in Axe().run(page).response["violations"]] == []


def test_pages_read_without_script(serve, new_page):
    content = data.plausible()
    server, page = serve(content), new_page(java_script_enabled=False)
    page.goto(server.address + "/explorer/sessions?verdict=refused")
    assert page.locator("tbody tr").count() == 16
    page.locator("th.prompt a").first.click()
    why = page.locator(".event.refused details.why").first
    why.locator("summary").click()
    assert why.get_by_text("ARGUMENT_GROUNDING").is_visible()
    for text in ["the recipient comes from a tool’s answer", "score −1.274, needs 0.325", "all-MiniLM-L6-v2"]:
        assert why.get_by_text(text).first.is_visible(), text
    page.goto(server.address + "/explorer/live")
    assert page.get_by_text("needs script").is_visible()


def test_the_keyboard_goes_everywhere(serve, new_page):
    server, page = serve(data.plausible()), new_page()
    page.goto(server.address + "/explorer")
    for key, path in [("m", "/explorer/systems"), ("s", "/explorer/sessions"), ("l", "/explorer/live"), ("a", "/explorer/alerts"),
                      ("d", "/explorer"), ("s", "/explorer/sessions")]:
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(server.address + path)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.locator("tr[data-row].current").evaluate("e => [...e.parentNode.children].indexOf(e)") == 0
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/explorer/sessions/inp_"))
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()
    page.keyboard.press("/")
    page.keyboard.type("gd anna?")
    assert page.locator("#find").input_value() == "gd anna?"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement === document.body")
    page.keyboard.press("/")
    page.keyboard.type("gd anna")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/explorer/search\?q=gd"))


def test_the_skip_link_leads_to_the_content(serve, new_page):
    server, page = serve(data.plausible()), new_page()
    page.goto(server.address + "/explorer/sessions")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_theme_is_kept(serve, new_page):
    server, page = serve(data.plausible()), new_page(color_scheme="light")
    page.goto(server.address + "/explorer")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    page.goto(server.address + "/explorer/sessions")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_a_link_to_an_event_opens_it(serve, new_page):
    content = data.plausible()
    whole = content["session"][content["sessions"][2]["id"]]
    event = next(e for e in whole["events"] if e["kind"] == "exchange_refused")
    server, page = serve(content), new_page()
    page.goto(f"{server.address}/explorer/sessions/{whole['session']['id']}#event-{event['sequence']}")
    assert page.locator(f"#event-{event['sequence']} .checks").is_visible()
    token = whole["tokens"][1]["sha256"]
    page.goto(f"{server.address}/explorer/sessions/{whole['session']['id']}#token-{token}")
    assert page.locator(f"#token-{token}").is_visible()


def test_a_session_tells_tokens_flows_and_time(serve, new_page):
    content = data.plausible()
    whole = content["session"][content["sessions"][0]["id"]]
    server, page = serve(content), new_page()
    page.goto(f"{server.address}/explorer/sessions/{whole['session']['id']}")
    assert page.locator(".events > li").count() == len(whole["events"])
    t1, t2, t3 = (t["sha256"] for t in whole["tokens"])
    assert page.locator(f"#token-{t1} > ul > #token-{t2}").count() == 1
    assert page.locator(f"#token-{t1} > ul > #token-{t3}").count() == 1
    assert page.locator("rect.flow").count() == len(whole["flows"])
    # Flows stand on the axis of the events.
    opened = page.locator("rect.flow").first.bounding_box()["x"]
    marks = page.locator(".tracks a").all()
    assert marks[0].bounding_box()["x"] < opened < marks[-1].bounding_box()["x"]


def test_the_live_view_shows_pauses_and_filters(serve, new_page):
    content = data.plausible()
    events = content["session"][content["sessions"][2]["id"]]["events"]
    fresh = lambda start, chosen: [{**e, "sequence": start + i} for i, e in enumerate(chosen)]
    server, page = serve(content), new_page()
    page.goto(server.address + "/explorer/live")
    page.wait_for_selector("#live-status[data-state=live]")
    server.append(*fresh(5_000_000, events))
    until(page, f"document.querySelectorAll('#live-rows tr').length === {len(events)}")
    assert page.locator("#live-rows tr", has_text="ungrounded_argument").count() == 2
    page.keyboard.press("Space")
    server.append(*fresh(5_001_000, events[:3]))
    until(page, "document.getElementById('live-status').textContent === 'paused, 3 waiting'")
    assert page.locator("#live-rows tr").count() == len(events)
    page.locator("#live-pause").click()
    until(page, f"document.querySelectorAll('#live-rows tr').length === {len(events) + 3}")
    page.locator("#live-kind").select_option(label="Refusals")
    assert page.locator("#live-rows tr:visible").count() == 2
    page.locator("#live-kind").select_option(label="everything")
    page.locator("#live-text").fill("chat/completions")
    assert page.locator("#live-rows tr:visible").count() == 1
    page.locator("#live-rows tr:visible a").click()
    page.wait_for_url(re.compile("#event-5000006$"))


def test_a_flood_of_live_events_is_bounded(serve, new_page):
    content = data.plausible()
    event = content["session"][content["sessions"][0]["id"]]["events"][0]
    server, page = serve(content), new_page()
    page.goto(server.address + "/explorer/live")
    page.wait_for_selector("#live-status[data-state=live]")
    server.append(*({**event, "sequence": 6_000_000 + i} for i in range(3000)))
    until(page, "[...document.querySelectorAll('#live-rows a')].some(a => a.href.endsWith('#event-6002999'))")
    assert page.locator("#live-rows tr").count() == 500


def test_a_runtime_that_is_down_is_said_and_found_again(serve, new_page):
    content = data.plausible()
    event = content["session"][content["sessions"][0]["id"]]["events"][0]
    server, page = serve(content), new_page(allowed=["ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load resource"])
    page.goto(server.address + "/explorer/live")
    page.wait_for_selector("#live-status[data-state=live]")
    server.append({**event, "sequence": 7_000_000})
    page.wait_for_selector("#live-rows tr")
    server.stop()
    page.wait_for_selector("#connection:visible")
    assert "Connection lost, retrying" in page.locator("#connection").text_content()
    # What came meanwhile is shown: the stream is taken up where it broke.
    server.append({**event, "sequence": 7_000_001})
    server.start(server.port)
    page.wait_for_selector("#connection", state="hidden", timeout=20_000)
    until(page, "document.querySelectorAll('#live-rows tr').length === 2")


def test_nothing_is_missed_when_the_stream_breaks_before_its_first_event(serve, new_page):
    content = data.plausible()
    event = content["session"][content["sessions"][0]["id"]]["events"][0]
    server, page = serve(content), new_page(allowed=["ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load resource"])
    server.append({**event, "sequence": 7_100_000})
    page.goto(server.address + "/explorer/live")
    page.wait_for_selector("#live-status[data-state=live]")
    server.stop()
    page.wait_for_selector("#connection:visible")
    server.append({**event, "sequence": 7_100_001})
    server.start(server.port)
    page.wait_for_selector("#connection", state="hidden", timeout=20_000)
    until(page, "document.querySelectorAll('#live-rows tr').length === 1")
    assert page.locator("#live-rows a").get_attribute("href").endswith("#event-7100001")
    # Another system's stream goes on from there: nothing comes twice.
    with page.expect_request("**/trace/live?*after=7100001*"):
        page.locator("#live-system").select_option(data.BANK)


def test_thousands_of_events_load_as_they_are_scrolled_to(serve, new_page):
    # Further ones are read more than once, and the last time fewer than a page.
    content, whole = data.long_session(2_300)
    server, page = serve(content), new_page()
    page.goto(f"{server.address}/explorer/sessions/{whole['session']['id']}")
    assert page.locator(".events > li").count() == 1000
    assert page.locator(".tracks a").count() <= 250
    # The longest time in which the page answered nothing; told and not asserted, as it is the machine's as well.
    page.evaluate("""() => {
      window.longest = 0;
      let last = performance.now();
      setInterval(() => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now; }, 10);
    }""")
    started = time.monotonic()
    while page.locator("#more").count():
        page.evaluate("document.getElementById('more')?.scrollIntoView()")
        page.wait_for_timeout(50)
        assert time.monotonic() - started < 600, "they never end"
    assert page.locator(".events > li").count() == 2_300
    longest = page.evaluate("window.longest")
    print(f"\n2,300 events loaded in {time.monotonic() - started:.1f} s; the page was never busy for more than {longest:.0f} ms")
    page.locator("#only-refused").click()
    assert page.locator(".events > li:visible").count() == 4
    # An event far down is found by its link.
    last = whole["events"][-1]["sequence"]
    page.goto("about:blank")
    page.goto(f"{server.address}/explorer/sessions/{whole['session']['id']}#event-{last}")
    page.wait_for_selector(f"#event-{last} .facts", timeout=600_000)


def test_new_events_of_a_session_are_announced(serve, new_page):
    content = data.plausible()
    whole = content["session"][content["sessions"][0]["id"]]
    server, page = serve(content), new_page()
    with page.expect_request("**/trace/live*"):
        page.goto(f"{server.address}/explorer/sessions/{whole['session']['id']}")
    page.wait_for_timeout(300)
    server.append({**whole["events"][-1], "sequence": 8_000_000})
    page.wait_for_selector("#fresh")
    assert page.locator("#fresh").text_content() == "1 new event. Show"


def test_the_graph_can_be_dragged(serve, new_page):
    server, page = serve(data.plausible()), new_page()
    page.goto(f"{server.address}/explorer/systems/{data.BANK}")
    node = page.locator(f"[data-node='{data.AGENT}']")
    before, way = node.get_attribute("transform"), page.locator(".edge .way").first.get_attribute("d")
    box = node.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=4)
    page.mouse.up()
    assert node.get_attribute("transform") != before
    assert page.locator(".edge .way").first.get_attribute("d") != way
    moved = node.get_attribute("transform")
    node.focus()
    page.keyboard.press("ArrowLeft")
    assert node.get_attribute("transform") != moved


def test_empty_pages_say_what_to_do(serve, new_page):
    server, page = serve(data.empty()), new_page()
    for path, text in [("", "No calls in this time"), ("/systems", "There is no system yet"), ("/sessions", "No sessions yet"),
                       ("/sessions?verdict=refused", "No session fits these filters"), ("/alerts", "No alerts"),
                       ("/search?q=x", "Nothing that you may read holds this"), ("/live", "Waiting for events")]:
        page.goto(server.address + "/explorer" + path)
        assert page.locator(".empty", has_text=text).is_visible(), path


def test_wrong_addresses_and_filters_are_said(serve, new_page):
    server, page = serve(data.plausible()), new_page(allowed=["Failed to load resource"])
    for path, status, text in [
            ("/nowhere", 404, "nothing that you may read"), ("/sessions/inp_none", 404, "nothing that you may read"),
            ("/sessions/..%2f..%2fetc", 404, "nothing"), ("/assets/..%2f..%2fetc%2fpasswd", 404, "nothing"),
            ("/sessions?verdict=maybe", 400, "must be allowed or refused"), ("/sessions?from=yesterday", 400, "must be a time in UTC"),
            ("/sessions?reason=unreadable", 400, "`reason` must be a reason"), ("?range=1y", 400, "must be one of"),
            ("/sessions?tool=a&tool=b", 400, "each once"), ("/sessions?text=%ff", 400, "UTF-8"),
            ("/search?q=" + "x" * 600, 400, "at most 512 bytes"), ("/sessions?text=" + "x" * 9000, 414, "8192 bytes")]:
        answer = page.goto(server.address + "/explorer" + path)
        assert answer.status == status, path
        assert text in page.locator("main").text_content(), path


def test_first_page_is_small_and_fast(serve, new_page):
    server, page = serve(data.plausible()), new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(server.address + "/explorer", wait_until="networkidle")
    took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"\nfirst page: {sum(sizes):,.0f} bytes in {len(sizes)} answers, loaded after {took:.0f} ms")
    assert sum(sizes) < 100_000


# Attacks

@pytest.mark.attack(42, "stored markup, in a browser", layer="runtime")
@pytest.mark.parametrize("text", data.HOSTILE)
def test_attack_42_stored_markup_is_shown_as_text(serve, new_page, text):
    content = data.hostile(text)
    server, page = serve(content), new_page()
    for address in addresses(server, content):
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for element in page.locator("[data-row], .node").all()[:3]:
            element.hover(force=True, timeout=2000) if element.is_visible() else None
        assert page.evaluate("window.attacked === undefined"), address
        assert page.locator("img, iframe, object, embed, [onmouseover], [onload], [onerror], a[href^='javascript:']").count() == 0, address
        assert page.locator("script").evaluate_all("all => all.every(s => s.src.startsWith(location.origin + '/explorer/assets/'))"), address
        assert not re.search("[\u202e\u200b\u001b]", page.content()), address
    # And by the stream.
    page.goto(server.address + "/explorer/live")
    page.wait_for_selector("#live-status[data-state=live]")
    server.append({"sequence": 9_000_000, "at": text, "kind": text, "mas_id": text, "user_input_id": text, "app_id": text,
                   "payload": {"method": text, "destination": text, "tool": text, "reason": text}})
    page.wait_for_selector("#live-rows tr")
    assert page.locator("img, script:not([src]), [onmouseover]").count() == 0
    assert page.evaluate("window.attacked === undefined")
    assert not re.search("[\u202e\u200b\u001b]", page.locator("#live-rows").text_content())


def test_what_can_not_be_seen_is_written_out(serve, new_page):
    content = data.hostile("safe\u202etxt.exe\u200b")
    server, page = serve(content), new_page()
    page.goto(server.address + "/explorer/sessions")
    assert page.locator("th.prompt a").first.text_content() == "safe⟦U+202E⟧txt.exe⟦U+200B⟧"


def test_forms_of_other_sites_are_refused(serve, new_page):
    server = serve(data.plausible(), credential="secret")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    target, host = server.address + "/explorer/sign-in", f"127.0.0.1:{server.port}"
    refused = [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
               {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
               {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{host}"}]
    for headers in refused:
        answer = get(target, "POST", b"credential=secret", **form, **headers)
        assert answer.status == 403 and answer.headers["Set-Cookie"] is None, headers
        assert get(server.address + "/explorer/sign-out", "POST", b"", **form, **headers).status == 403, headers
    for headers in [{"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://{host}"}]:
        answer = get(target, "POST", b"credential=secret", **form, **headers)
        assert answer.status == 303 and answer.headers["Set-Cookie"] == "casa_session=signed-in; Path=/; HttpOnly; SameSite=Strict"


def test_no_other_site_frames_the_pages(serve, new_page):
    server = serve(data.plausible())
    for path in ["", "/sessions", "/live", "/nowhere"]:
        headers = get(server.address + "/explorer" + path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.attack(39, "the Explorer without signing in", layer="runtime")
def test_attack_39_without_signing_in_nothing_is_shown(serve, new_page):
    content = data.plausible()
    server = serve(content, credential="secret")
    for address in addresses(server, content):
        for cookie in ["", "casa_session=", "casa_session=x", "casa_session=signed-in; casa_session=signed-in"]:
            answer = get(address, Cookie=cookie)
            assert answer.status == 303 and answer.headers["Location"].startswith("/explorer/sign-in"), (address, cookie)
            assert answer.read() == b""


def test_signing_in_and_out(serve, new_page):
    content = data.plausible()
    server, page = serve(content, credential="secret"), new_page(allowed=["401"])
    page.goto(server.address + "/explorer/sessions?verdict=refused")
    page.wait_for_url(re.compile("/explorer/sign-in"))
    page.get_by_label("Credential").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    page.get_by_label("Credential").fill("secret")
    page.keyboard.press("Enter")
    page.wait_for_url(server.address + "/explorer/sessions?verdict=refused")
    cookie = page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(server.address + "/explorer/sign-in")
    page.goto(server.address + "/explorer")
    page.wait_for_url(re.compile("/explorer/sign-in"))


def test_signing_in_leads_nowhere_else(serve, new_page):
    server = serve(data.plausible(), credential="secret")
    for next in ["https://evil.example", "//evil.example", "/explorer/../..//evil.example\\", "javascript:alert(1)", "/explorer\\@evil",
                 "/explorerevil", "/explorer/%0d%0aSet-Cookie:x"]:
        from urllib.parse import urlencode
        answer = get(server.address + "/explorer/sign-in", "POST", urlencode({"credential": "secret", "next": next}).encode(), **{
            "Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"})
        assert answer.headers["Location"].startswith("/explorer") and "\r" not in answer.headers["Location"], next
        assert "evil" not in answer.headers["Location"] or answer.headers["Location"].startswith("/explorer/"), next


def test_whoever_guesses_locks_nobody_out(serve, new_page):
    server = serve(data.plausible(), credential="secret")
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    statuses = {get(server.address + "/explorer/sign-in", "POST", b"credential=wrong", **headers).status for _ in range(50)}
    assert statuses == {401}
    assert get(server.address + "/explorer/sign-in", "POST", b"credential=secret", **headers).status == 303


def test_assets_are_kept_by_their_hash(serve, new_page):
    server = serve(data.plausible())
    text = get(server.address + "/explorer").read().decode()
    paths = set(re.findall(r"/explorer/assets/[^\"]+", text))
    assert len(paths) == 4
    for path in paths:
        answer = get(server.address + path)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert get(server.address + path, **{"If-None-Match": answer.headers["ETag"]}).status == 304
    assert get(server.address + "/").headers["Location"] == "/explorer"
    assert get(server.address + "/explorer", "DELETE").status == 405
