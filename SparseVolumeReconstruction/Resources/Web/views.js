// Mouse, fingers and keys over the pictures: what is not sent to the server as it is becomes one of its movements (web/moves.py).
(() => {
  const PINCH = 0.02, TURN = 1.0, STEP_PIXELS = 12, KEY_PAN = 0.05, KEY_TURN = 0.05, KEY_ZOOM = 1.15, KEY_WINDOW = 0.08;
  const tool = () => document.querySelector(".quad").dataset.tool;
  const viewOf = (event) => event.target.closest?.("[data-view]");

  // One movement is on its way at a time; what comes meanwhile is added up, so that a slow server never lags behind a hand.
  const waiting = new Map();
  let sending = false;
  async function pump() {
    if (sending) return;
    sending = true;
    while (waiting.size) {
      const [key, [name, args]] = waiting.entries().next().value;
      waiting.delete(key);
      await window.trame.trigger(name, args);
    }
    sending = false;
  }
  function move(name, view, values, combine) {
    const key = name + view, before = waiting.get(key);
    const numbers = before ? combine(before[1].slice(view ? 1 : 0), values) : values;
    waiting.set(key, [name, view ? [view, ...numbers] : numbers]);
    pump();
  }
  const sum = (old, now) => old.map((value, n) => value + now[n]);
  const product = (old, now) => old.map((value, n) => value * now[n]);
  const last = (_old, now) => now;
  const scroll = (view, steps) => move("look_scroll", view, [steps], sum);
  const zoom = (view, factor) => move("look_zoom", view, [factor], product);
  const pan = (view, across, down) => move("look_pan", view, [across, down], sum);
  const turn = (across, down) => move("look_turn", "", [across, down], sum);
  const contrast = (view, wider, brighter) => move("look_window", view, [wider, brighter], sum);
  function point(section, event) {
    const box = section.querySelector(".picture").getBoundingClientRect();
    const share = (value, low, size) => Math.min(Math.max((value - low) / size, 0), 1);
    move("look_point", section.dataset.view, [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)], last);
  }

  // One finger, or the mouse where a tool is chosen.
  function drag(section, dx, dy, event, fingers) {
    const view = section.dataset.view, box = section.querySelector(".picture").getBoundingClientRect();
    const across = dx / box.width, down = dy / box.height;
    if (view === "ThreeD") return turn(across * TURN, down * TURN);
    if (fingers.tool === "point") return point(section, event);
    if (fingers.tool === "window") return contrast(view, across, -down);
    fingers.rest = (fingers.rest || 0) - dy;
    const steps = Math.trunc(fingers.rest / STEP_PIXELS);
    fingers.rest -= steps * STEP_PIXELS;
    if (steps) scroll(view, steps);
  }

  function pinch(section, before, now) {
    const middle = (pair) => ({ x: (pair[0].clientX + pair[1].clientX) / 2, y: (pair[0].clientY + pair[1].clientY) / 2 });
    const apart = (pair) => Math.hypot(pair[0].clientX - pair[1].clientX, pair[0].clientY - pair[1].clientY);
    const box = section.querySelector(".picture").getBoundingClientRect(), view = section.dataset.view;
    const factor = apart(now) / Math.max(apart(before), 1), from = middle(before), to = middle(now);
    if (Math.abs(factor - 1) > PINCH / 10) zoom(view, factor);
    pan(view, (to.x - from.x) / box.width, (to.y - from.y) / box.height);
  }

  let held = null; // {section, tool, pointers: Map of the last event of each}
  const stop = (event) => { event.preventDefault(); event.stopPropagation(); };
  function toolOf(event, view) {
    if (event.pointerType !== "mouse") return tool() || "scroll";
    if (event.button !== 0 || view === "ThreeD") return "";
    return event.ctrlKey || event.metaKey ? "window" : tool();
  }
  addEventListener("pointerdown", (event) => {
    const section = event.target.closest?.(".picture") && viewOf(event);
    if (!section || (held && held.section !== section)) return;
    const chosen = toolOf(event, section.dataset.view);
    if (!chosen) return;
    stop(event);
    section.querySelector(".picture [tabindex]")?.focus({ preventScroll: true });
    held = held || { section, tool: chosen, pointers: new Map() };
    held.pointers.set(event.pointerId, event);
    if (chosen === "point" && section.dataset.view !== "ThreeD") point(section, event);
  }, true);
  addEventListener("pointermove", (event) => {
    const before = held?.pointers.get(event.pointerId);
    if (before) {
      stop(event);
      const pair = [...held.pointers.values()].slice(0, 2);
      held.pointers.set(event.pointerId, event);
      if (pair.length === 2) pinch(held.section, pair, [...held.pointers.values()].slice(0, 2));
      else drag(held.section, event.clientX - before.clientX, event.clientY - before.clientY, event, held);
      return;
    }
    const section = event.target.closest?.(".picture") && viewOf(event);
    document.querySelector(".quad")?.classList.toggle("pointing", Boolean(section && event.shiftKey && !event.buttons));
    if (section && event.shiftKey && !event.buttons && section.dataset.view !== "ThreeD") point(section, event);
  }, true);
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, (event) => {
    if (!held?.pointers.delete(event.pointerId)) return;
    stop(event);
    if (!held.pointers.size) held = null;
  }, true);

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function arrow(view, [across, down], event) {
    if (event.ctrlKey || event.metaKey) { if (view !== "ThreeD") contrast(view, across * KEY_WINDOW, -down * KEY_WINDOW); }
    else if (event.shiftKey) pan(view, across * KEY_PAN, down * KEY_PAN);
    else if (view === "ThreeD") turn(across * KEY_TURN, down * KEY_TURN);
    else scroll(view, across - down);
  }
  const click = (name) => document.getElementById(name)?.click();
  const EVERYWHERE = { x: () => click("point-button"), w: () => click("window-button"), r: () => click("fit-button"), "?": () => click("help-button") };
  const OVER = {
    "+": (view) => zoom(view, KEY_ZOOM), "=": (view) => zoom(view, KEY_ZOOM), "-": (view) => zoom(view, 1 / KEY_ZOOM),
    a: (view) => window.trame.trigger("look_window_again", [view]),
    PageUp: (view) => scroll(view, 10), PageDown: (view) => scroll(view, -10),
  };
  addEventListener("keydown", (event) => {
    if (event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    const view = viewOf(event)?.dataset.view, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const button = event.target.closest?.("button, summary, a"), plain = !event.ctrlKey && !event.metaKey;
    if (view && !button && ARROWS[key]) arrow(view, ARROWS[key], event);
    else if (view && plain && OVER[key] && !(key.startsWith("Page") && view === "ThreeD")) OVER[key](view);
    else if (plain && EVERYWHERE[key]) EVERYWHERE[key]();
    else return;
    stop(event);
  }, true);
})();
