// What every page has: keyboard, theme, times, copying, and a dashboard that keeps itself fresh.
import { ago, banner, isTyping, page } from "./text.js";

// Theme

const theme = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");

function toggleTheme() {
  const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("casa-theme", next);
  } catch {
    // It then lasts as long as this page.
  }
}
if (theme) {
  theme.hidden = false;
  theme.addEventListener("click", toggleTheme);
}

// Times: how long ago, beside when

export function dressTimes(root) {
  const now = Date.now();
  for (const time of root.querySelectorAll("td.when time")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    time.title = time.dateTime;
    time.dataset.ago = ago(now - at);
  }
}
dressTimes(document);
setInterval(() => document.hidden || dressTimes(document), 10_000);

// Copying

function showCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button.copy")) button.hidden = false;
}
showCopyButtons(document);
document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element && event.target.closest("button.copy");
  if (!button) return;
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.dataset.done = "copied";
  } catch {
    button.dataset.done = "not copied";
  }
  setTimeout(() => delete button.dataset.done, 1500);
});

// A link to an event or a token opens it.

function openTarget() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  if (!target) return;
  const details = target.querySelector("details.why");
  if (details) details.open = true;
  target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", openTarget);
openTarget();

// Keyboard

const help = document.getElementById("help");
const helpButton = document.getElementById("help-button");
if (helpButton) {
  helpButton.hidden = false;
  helpButton.addEventListener("click", () => help.showModal());
}

function rows() {
  return [...document.querySelectorAll("[data-row]")].filter((row) => row.getClientRects().length > 0);
}

function move(step) {
  const all = rows();
  if (all.length === 0) return;
  const current = document.querySelector("[data-row].current");
  const index = current ? all.indexOf(current) : -1;
  const next = all[index < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(index + step, 0), all.length - 1)];
  current?.classList.remove("current");
  next.classList.add("current");
  next.scrollIntoView({ block: "nearest" });
  // The focus follows, so that a screen reader says where it is.
  (next.querySelector("summary, th a, a") ?? next).focus({ preventScroll: true });
}

function open() {
  const current = document.querySelector("[data-row].current");
  if (!current) return false;
  const details = current.querySelector("details");
  if (details) details.open = !details.open;
  else current.querySelector("th a, td a, a")?.click();
  return true;
}

let waitsForLetter = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (isTyping(document.activeElement)) document.activeElement.blur();
    document.querySelector("[data-row].current")?.classList.remove("current");
    return;
  }
  if (isTyping(event.target) || help?.open) return;
  if (waitsForLetter > Date.now()) {
    waitsForLetter = 0;
    const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
    return;
  }
  switch (event.key) {
    case "/":
      document.getElementById("find")?.focus();
      break;
    case "?":
      help?.showModal();
      break;
    case "g":
      waitsForLetter = Date.now() + 1500;
      break;
    case "t":
      toggleTheme();
      break;
    case "j":
      move(1);
      break;
    case "k":
      move(-1);
      break;
    case "Enter":
      // What has the focus is opened by the browser.
      if (event.target.closest?.("a, button, summary") || !open()) return;
      break;
    default:
      return;
  }
  event.preventDefault();
});

// Empty fields stay out of the address.

for (const form of document.querySelectorAll("form:not([method])")) {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData.entries()]) if (value === "") event.formData.delete(name);
  });
}

// What shows the present is read again now and then.

const fresh = document.getElementById("refresh");
if (fresh) {
  let busy = false;
  const refresh = async () => {
    if (busy || document.hidden || fresh.contains(document.activeElement) || fresh.querySelector("details[open]")) return;
    busy = true;
    try {
      const next = (await page(location.href, AbortSignal.timeout(8000))).getElementById("refresh");
      if (next) {
        fresh.replaceChildren(...document.adoptNode(next).childNodes);
        dressTimes(fresh);
      }
      banner("");
    } catch {
      banner("Connection lost, retrying. What you see is as of the last answer.");
    }
    busy = false;
  };
  setInterval(refresh, Number(fresh.dataset.refresh) * 1000);
}
