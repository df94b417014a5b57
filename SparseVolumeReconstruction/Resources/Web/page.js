// The page as a tool: dialogs, the steps, words explained, refusals where they were caused, results brought into view, what was open.
(() => {
  const TERMS = {
    prior: "Prior: what a model has learned of many bodies, before it sees a slice of this one.",
    context: "Context slice: a slice of this patient that the model is told. Everything else is inferred from these.",
    frame: "Frame: where the patient lies in the space of the model; found from the slices, or given.",
    posterior: "Posterior: all the volumes that agree with the slices, and how probable each is. The mean is their average.",
    sample: "Sample: one possible volume that agrees with the slices. What stays from sample to sample is known, what changes is not.",
    uncertainty: "Uncertainty: how far possible volumes differ in a voxel (standard deviation, in the grey values of the scan). 0 where a slice was seen.",
  };
  const REFUSED_WITHIN_MS = 2500, MARGIN = 8;
  const find = (name) => document.getElementById(name);

  function beside(box, control) {
    box.hidden = false;
    const there = control.getBoundingClientRect(), own = box.getBoundingClientRect();
    const below = there.bottom + MARGIN + own.height < innerHeight;
    box.style.left = `${Math.max(MARGIN, Math.min(there.left, innerWidth - own.width - MARGIN))}px`;
    box.style.top = `${Math.max(MARGIN, below ? there.bottom + MARGIN / 2 : there.top - own.height - MARGIN / 2)}px`;
  }

  function explain(control) {
    const box = find("explanation");
    if (!box) return;
    box.textContent = TERMS[control?.dataset.term] || "";
    box.hidden = !box.textContent;
    if (!box.hidden) beside(box, control);
  }
  for (const name of ["pointerover", "focusin", "click"]) document.addEventListener(name, (event) => {
    const control = event.target.closest?.("[data-term]");
    if (control || !document.activeElement?.dataset.term) explain(control);
  });
  document.addEventListener("focusout", (event) => { if (event.target.dataset?.term) explain(null); });

  function bringIntoView(control) {
    for (let part = control.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    const smooth = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    (control.closest("details") || control).scrollIntoView({ block: "start", behavior: smooth });
  }

  let used = { control: null, time: 0 };
  document.addEventListener("click", (event) => {
    const control = event.target.closest?.("button, a, input, select, summary");
    if (!control) return;
    used = { control, time: performance.now() };
    find("refusal").hidden = true;
    if (control.dataset.opens) find(control.dataset.opens).showModal();
    if ("closes" in control.dataset) control.closest("dialog").close();
    if (control.dataset.goto) {
      event.preventDefault();
      bringIntoView(find(control.dataset.goto));
      find(control.dataset.goto).focus({ preventScroll: true });
    }
  });
  document.addEventListener("change", (event) => { used = { control: event.target, time: performance.now() }; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const name of ["refusal", "explanation"]) if (find(name)) find(name).hidden = true;
  });

  // What was open stays open when the browser comes back; sections are known by their headings.
  const heading = (section) => "svr open " + section.querySelector("summary").textContent.trim();
  function remembered() {
    for (const section of document.querySelectorAll("details.section:not([data-known])")) {
      section.dataset.known = "";
      const was = localStorage.getItem(heading(section));
      if (was !== null) section.open = was === "true";
      section.addEventListener("toggle", () => localStorage.setItem(heading(section), section.open));
    }
  }

  function refused(run) {
    const box = find("refusal");
    if (!box) return;
    const here = run?.error && !run.log && used.control?.isConnected && performance.now() - used.time < REFUSED_WITHIN_MS;
    box.textContent = here ? run.error : "";
    box.hidden = !here;
    if (here && !used.control.closest(".run")) beside(box, used.control);
    else box.hidden = true;
  }

  let error = "", asked = false;
  function watch() {
    window.trame.state.watch(["run"], (run) => {
      if (run && run.error !== error) refused(run);
      error = run?.error || "";
      asked = asked || Boolean(run?.running);
    });
    let shown;
    window.trame.state.watch(["p_result"], (result) => {
      const anew = shown !== undefined && result && result !== shown && asked;
      shown = result || "";
      asked = false;
      if (anew) setTimeout(() => find("result-menu") && bringIntoView(find("result-menu")), 100);
    });
  }
  const start = setInterval(() => {
    if (!window.trame?.state?.get("run") || !document.querySelector(".panel")) return;
    clearInterval(start);
    watch();
    remembered();
    new MutationObserver(remembered).observe(document.querySelector(".panel"), { childList: true, subtree: true });
  }, 50);
})();
