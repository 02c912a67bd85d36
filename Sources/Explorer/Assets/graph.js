// The drawing of who calls whom: boxes can be dragged, and calls flash as they happen.
import { banner } from "./text.js";

const drawing = document.querySelector("#graph svg");
if (drawing) {
  const half = 74;
  const nodes = new Map();
  for (const element of drawing.querySelectorAll("[data-node]")) {
    const [x, y] = element.getAttribute("transform").match(/-?[\d.]+/g).map(Number);
    nodes.set(element.dataset.node, { element, x, y });
  }
  const edges = [...drawing.querySelectorAll(".edge")];

  // As `CallGraph.path` draws them.
  function way(from, to) {
    if (Math.abs(from.x - to.x) < 2 * half) {
      const bend = Math.max(from.x, to.x) + half + 46;
      return [`M${from.x + half} ${from.y}C${bend} ${from.y} ${bend} ${to.y} ${to.x + half} ${to.y}`, bend - 12, (from.y + to.y) / 2];
    }
    const sign = to.x > from.x ? 1 : -1;
    const [start, end] = [from.x + sign * half, to.x - sign * half];
    const middle = (start + end) / 2;
    return [`M${start} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${end} ${to.y}`, middle, (from.y + to.y) / 2];
  }

  function place(node, x, y) {
    const box = drawing.viewBox.baseVal;
    node.x = Math.round(Math.min(Math.max(x, half), box.width - half));
    node.y = Math.round(Math.min(Math.max(y, 24), box.height - 24));
    node.element.setAttribute("transform", `translate(${node.x} ${node.y})`);
    for (const edge of edges) {
      const [from, to] = [nodes.get(edge.dataset.from), nodes.get(edge.dataset.to)];
      if (!from || !to || (from !== node && to !== node)) continue;
      const [path, labelX, labelY] = way(from, to);
      for (const line of edge.querySelectorAll("path")) line.setAttribute("d", path);
      edge.querySelector(".tag").setAttribute("transform", `translate(${labelX} ${labelY})`);
    }
  }

  function point(event) {
    const matrix = drawing.getScreenCTM();
    return matrix ? new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse()) : null;
  }

  for (const node of nodes.values()) {
    const { element } = node;
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", `${element.querySelector("title").textContent}; the arrow keys move it`);
    let grip = null;
    element.addEventListener("pointerdown", (event) => {
      const at = point(event);
      if (!at || event.button !== 0) return;
      grip = { x: at.x - node.x, y: at.y - node.y };
      element.setPointerCapture(event.pointerId);
      element.classList.add("held");
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      const at = grip && point(event);
      if (at) place(node, at.x - grip.x, at.y - grip.y);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      element.addEventListener(end, () => {
        grip = null;
        element.classList.remove("held");
      });
    }
    element.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-16, 0], ArrowRight: [16, 0], ArrowUp: [0, -16], ArrowDown: [0, 16] }[event.key];
      if (!step) return;
      event.preventDefault();
      place(node, node.x + step[0], node.y + step[1]);
    });
    element.addEventListener("pointerenter", () => {
      for (const edge of edges) {
        edge.classList.toggle("faint", edge.dataset.from !== element.dataset.node && edge.dataset.to !== element.dataset.node);
      }
    });
    element.addEventListener("pointerleave", () => edges.forEach((edge) => edge.classList.remove("faint")));
  }

  // An outgoing call lights up the way it takes.
  const mas = decodeURIComponent(location.pathname.split("/").pop() ?? "");
  const source = new EventSource(`/trace/live?${new URLSearchParams({ mas_id: mas })}`);
  source.addEventListener("open", () => banner(""));
  source.addEventListener("error", () => banner("Connection lost, retrying. The drawing is as of the last answer."));
  source.addEventListener("trace", (message) => {
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return;
    }
    if (!event.kind.startsWith("call_") || event.payload?.direction !== "egress") return;
    for (const edge of edges) {
      const to = nodes.get(edge.dataset.to)?.element.dataset.name;
      if (edge.dataset.from !== event.app_id || to !== event.payload.destination) continue;
      edge.classList.remove("flash", "flash-refused");
      void edge.getBoundingClientRect();
      edge.classList.add(event.kind === "call_refused" ? "flash-refused" : "flash");
    }
  });
  addEventListener("pagehide", () => source.close());
}
