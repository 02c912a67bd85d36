// Everything as it happens, over server-sent events.
import { banner, isTyping, moment, visible } from "./text.js";

// Older rows fall off the end.
const maximumRows = 500;
// What comes faster is drawn together.
const drawEvery = 150;

const rows = document.getElementById("live-rows");
const table = document.getElementById("live-table");
const empty = document.getElementById("live-empty");
const status = document.getElementById("live-status");
const template = document.getElementById("live-row");
const pause = document.getElementById("live-pause");
const system = document.getElementById("live-system");
const kind = document.getElementById("live-kind");
const text = document.getElementById("live-text");

let source = null;
// What comes after this place has not been shown.
let last = document.getElementById("live-filters").dataset.start;
let paused = false;
let waiting = [];
let drawing = 0;
let retry = 0;

function verdict(event) {
  switch (event.kind) {
    case "exchange_refused":
    case "spend_refused":
    case "call_refused":
    case "flow_refused":
      return ["refused", "✕"];
    case "token_exfiltration":
    case "events_lost":
    case "flows_lost":
      return ["alert", "▲"];
    case "call_admitted":
      return ["allowed", "✓"];
    case "token_exchanged":
      return event.payload?.decision ? ["allowed", "✓"] : ["noted", "•"];
    default:
      return ["noted", "•"];
  }
}

function what(event) {
  const p = event.payload ?? {};
  const tool = p.call ? `${p.call.server} · ${p.call.tool}` : p.tool ? [p.server ?? p.destination, p.tool].filter(Boolean).join(" · ") : "";
  if (p.method) return [p.method, tool || p.destination].filter(Boolean).join(" → ");
  if (tool) return tool;
  if (Array.isArray(p.selections)) return p.selections.map((s) => s.tool).join(", ") || "selects no tool";
  return p.scope ?? p.remote ?? p.change ?? "";
}

function words(name) {
  const all = String(name).replaceAll("_", " ").replace(/\b(llm|mcp)\b/g, (word) => word.toUpperCase());
  return all.charAt(0).toUpperCase() + all.slice(1);
}

function row(event) {
  const element = template.content.firstElementChild.cloneNode(true);
  const [tone, glyph] = verdict(event);
  const [when, badge, title, about, reason, session] = element.children;
  const time = when.firstElementChild;
  time.dateTime = event.at ?? "";
  time.title = event.at ?? "";
  time.textContent = moment(event.at ?? "");
  badge.firstElementChild.classList.add(tone);
  badge.querySelector(".glyph").textContent = glyph;
  badge.querySelector(".word").textContent = tone;
  title.textContent = visible(words(event.kind));
  about.textContent = visible(what(event)).slice(0, 240);
  const why = event.payload?.decision?.reason ?? event.payload?.reason;
  if (why) reason.firstElementChild.textContent = visible(why).slice(0, 120);
  else reason.replaceChildren();
  if (event.user_input_id) {
    const link = session.firstElementChild;
    link.href = `/explorer/sessions/${encodeURIComponent(event.user_input_id)}#event-${Number(event.sequence)}`;
    const id = visible(event.user_input_id);
    link.textContent = id.length > 14 ? `${id.slice(0, 4)}…${id.slice(-6)}` : id;
    link.title = id;
  } else {
    session.replaceChildren();
  }
  element.dataset.kind = event.kind;
  element.dataset.text = element.textContent.toLowerCase();
  element.hidden = hides(element);
  if (tone === "refused") element.classList.add("has-refused");
  return element;
}

function hides(element) {
  if (kind.value && !kind.value.split(",").includes(element.dataset.kind)) return true;
  const wanted = text.value.trim().toLowerCase();
  return wanted !== "" && !element.dataset.text.includes(wanted);
}

function say() {
  const state = source?.readyState === EventSource.OPEN ? "live" : "connecting…";
  status.textContent = paused ? `paused, ${waiting.length} waiting` : state;
  status.dataset.state = paused ? "paused" : state === "live" ? "live" : "off";
}

function draw() {
  drawing = 0;
  if (paused) return say();
  if (waiting.length > 0) {
    const fresh = document.createDocumentFragment();
    for (const event of waiting.slice(-maximumRows).reverse()) fresh.append(row(event));
    waiting = [];
    rows.prepend(fresh);
    while (rows.childElementCount > maximumRows) rows.lastElementChild.remove();
  }
  table.hidden = rows.childElementCount === 0;
  empty.hidden = !table.hidden;
  say();
}

function connect() {
  source?.close();
  clearTimeout(retry);
  const query = new URLSearchParams();
  if (system.value) query.set("mas_id", system.value);
  // A new connection goes on where the last one ended, and the first one where the page was made.
  query.set("after", last);
  const own = new EventSource(`/trace/live?${query}`);
  source = own;
  own.addEventListener("open", () => {
    if (source !== own) return;
    banner("");
    say();
  });
  own.addEventListener("trace", (message) => {
    if (source !== own) return;
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return;
    }
    last = message.lastEventId;
    waiting.push(event);
    // While paused too, only what would be drawn is kept.
    if (waiting.length > maximumRows) waiting.shift();
    if (!drawing) drawing = setTimeout(draw, drawEvery);
  });
  own.addEventListener("error", () => {
    if (source !== own) return;
    banner("Connection lost, retrying.");
    say();
    // The browser tries again by itself after a broken connection, but not after an answer that is no stream.
    if (own.readyState === EventSource.CLOSED) retry = setTimeout(connect, 3000);
  });
  say();
}

function togglePause() {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  draw();
}

function restart() {
  rows.replaceChildren();
  waiting = [];
  draw();
  connect();
}

pause.addEventListener("click", togglePause);
document.getElementById("live-clear").addEventListener("click", () => {
  rows.replaceChildren();
  waiting = [];
  draw();
});
system.addEventListener("change", restart);
for (const filter of [kind, text]) {
  filter.addEventListener("input", () => {
    for (const element of rows.children) element.hidden = hides(element);
  });
}
document.getElementById("live-filters").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || isTyping(event.target) || event.target.closest?.("button, a, summary")) return;
  event.preventDefault();
  togglePause();
});
document.getElementById("live-unscripted").remove();
draw();
connect();
