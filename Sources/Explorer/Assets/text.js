// Words, times and values as the server writes them.

// What a reader can't see, as `VisibleText` has it: control, format, private and unassigned characters, separators of
// lines, blanks other than plain ones, fillers and selectors of a variant.
const invisible =
  /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}\u115F\u1160\u3164\uFFA0\u034F\u2800\u180B-\u180F\uFE00-\uFE0E\u{E0100}-\u{E01EF}]|(?![ \u00A0\u3000])\p{Zs}/gu;

export function visible(text) {
  return String(text).replace(
    invisible, (c) => `⟦U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`);
}

/** `2026-01-31 12:00:00`. */
export function moment(iso) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(iso) ? iso.slice(0, 10) + " " + iso.slice(11, 19) : "";
}

/** How long ago, in one unit; empty for what lies more than a minute ahead. */
export function ago(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < -60) return "";
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** Says above the page that something doesn't work now; with nothing to say, takes it away. */
export function banner(text) {
  const element = document.getElementById("connection");
  if (!element) return;
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

/**
 * Another page of the Explorer, to take parts from; the server has escaped every value in it.
 * @throws when it can't be had, or is no such page.
 */
export async function page(address, signal) {
  const response = await fetch(address, { headers: { Accept: "text/html" }, signal });
  if (response.redirected && new URL(response.url).pathname === "/explorer/sign-in") {
    location.assign(response.url);
    throw new Error("signed out");
  }
  if (!response.ok) throw new Error(`${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

export function isTyping(element) {
  return element instanceof HTMLElement
    && (element.matches("input, select, textarea") || element.isContentEditable);
}
