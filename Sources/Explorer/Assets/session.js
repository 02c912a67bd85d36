// A session's further events, as they are scrolled to, and those that come while it is looked at.
import { banner, page } from "./text.js";

const list = document.getElementById("events");
const only = document.getElementById("only-refused");
const shown = document.getElementById("shown");

if (list && only) {
  only.hidden = false;
  only.addEventListener("click", () => {
    const on = list.classList.toggle("only-refused");
    only.setAttribute("aria-pressed", String(on));
  });
}

let loading = false;
async function load() {
  const more = document.getElementById("more");
  if (!more || loading) return;
  loading = true;
  more.setAttribute("aria-busy", "true");
  try {
    const next = await page(more.href);
    const items = [...(next.getElementById("events")?.children ?? [])];
    // In portions, so that the page goes on answering.
    for (let start = 0; start < items.length; start += 100) {
      const portion = document.createDocumentFragment();
      for (const item of items.slice(start, start + 100)) portion.append(document.adoptNode(item));
      list.append(portion);
      await new Promise((resume) => requestAnimationFrame(() => setTimeout(resume)));
    }
    const further = next.getElementById("more");
    if (further) more.href = further.getAttribute("href");
    else more.remove();
    shown.textContent = shown.textContent.replace(/^.* of/, `${list.childElementCount.toLocaleString("en").replaceAll(",", "\u00A0")} of`);
    banner("");
  } catch {
    banner("Connection lost. Choose “Next events” to try again.");
  }
  more.removeAttribute("aria-busy");
  loading = false;
}

const more = document.getElementById("more");
if (list && more) {
  more.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    load();
  });
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load(), {
    rootMargin: "600px",
  }).observe(more);
}

// What a link leads to may not be loaded yet.
const wanted = /^#event-(\d+)$/.exec(location.hash)?.[1];
if (list && wanted) {
  while (!document.getElementById(`event-${wanted}`) && document.getElementById("more")) {
    const before = list.childElementCount;
    await load();
    if (list.childElementCount === before) break;
  }
  const target = document.getElementById(`event-${wanted}`);
  if (target) {
    const details = target.querySelector("details.why");
    if (details) details.open = true;
    target.scrollIntoView({ block: "center" });
  }
}

// New events are announced, and shown when asked for: a page that is read doesn't move.
if (list && !document.getElementById("more")) {
  const session = list.dataset.session;
  let last = Number(list.dataset.last);
  let count = 0;
  const source = new EventSource(`/trace/live?${new URLSearchParams({ session, after: String(last) })}`);
  source.addEventListener("trace", (message) => {
    const sequence = Number(message.lastEventId);
    if (!(sequence > last)) return;
    last = sequence;
    count += 1;
    let note = document.getElementById("fresh");
    if (!note) {
      note = document.createElement("button");
      note.id = "fresh";
      note.type = "button";
      note.addEventListener("click", () => location.reload());
      list.after(note);
    }
    note.textContent = `${count} new ${count === 1 ? "event" : "events"}. Show`;
  });
  addEventListener("pagehide", () => source.close());
}
