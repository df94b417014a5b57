// Planning slices on scouts: a line is dragged by its middle or turned by its ends; what lies under the mouse is named.
(() => {
  const GRIP = 0.16, NEAR = 0.06, KEY_MM = 2, PAGE_MM = 10, KEY_DEGREES = 5;
  const scoutOf = (event) => event.target.closest?.("[data-scout]");
  const number = (scout) => Number(scout.dataset.scout);
  const lineOf = (scout) => JSON.parse(scout.dataset.line || "null");
  function placeOf(scout, event) {
    const box = scout.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  // One movement is on its way at a time; the next begins where that one ended.
  let held = null, sending = false;
  async function pump() {
    if (sending) return;
    sending = true;
    try {
      while (held && held.now !== held.sent) {
        const [from, to] = [held.sent, held.now];
        held.sent = to;
        await window.trame.trigger("plan_drag", [number(held.scout), held.turn, ...from, ...to]);
      }
    } finally {
      sending = false;
      if (held?.released) held = null;
    }
  }
  addEventListener("pointerdown", (event) => {
    const scout = scoutOf(event), line = scout && lineOf(scout);
    if (!line || event.button) return;
    const place = placeOf(scout, event);
    held = { scout, turn: Math.hypot(place[0] - line[4], place[1] - line[5]) > GRIP, sent: place, now: place };
    scout.setPointerCapture(event.pointerId);
    scout.focus({ preventScroll: true });
    event.preventDefault();
  });
  addEventListener("pointermove", (event) => {
    if (held) { if (!held.released) { held.now = placeOf(held.scout, event); pump(); } return; }
    const scout = scoutOf(event);
    for (const each of document.querySelectorAll(".scout .named")) if (each.parentElement !== scout) each.hidden = true;
    if (scout) name(scout, placeOf(scout, event));
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { if (held) { held.released = true; pump(); } });

  function name(scout, [x, y]) {
    const box = scout.querySelector(".named");
    const known = JSON.parse(scout.dataset.names || "[]").map((each) => [Math.hypot(each.x - x, each.y - y), each]);
    const [apart, nearest] = known.sort((a, b) => a[0] - b[0])[0] || [1];
    box.hidden = !(apart < NEAR);
    if (box.hidden) return;
    box.textContent = nearest.name;
    box.style.left = `${100 * Math.min(Math.max(nearest.x, 0.25), 0.75)}%`;
    box.style.top = `${100 * nearest.y}%`;
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], PageUp: [0, -PAGE_MM / KEY_MM], PageDown: [0, PAGE_MM / KEY_MM] };
  addEventListener("keydown", (event) => {
    const scout = scoutOf(event), way = ARROWS[event.key];
    if (!scout || !way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey) { if (way[0]) window.trame.trigger("plan_tilt", [number(scout), way[0] * KEY_DEGREES]); return; }
    window.trame.trigger("plan_nudge", [number(scout), way[0] * KEY_MM, way[1] * KEY_MM]);
  });
})();
