// What only a browser can do for lessons: read files, copy a link, open the lesson that a link carries.
(() => {
  const MOST = 64000, FILES = 200;
  const call = (name, argument) => window.trame.trigger(name, [argument]);

  document.addEventListener("change", async (event) => {
    const wanted = event.target.dataset?.send;
    if (!wanted || !event.target.files.length) return;
    const files = [...event.target.files].slice(0, FILES);
    event.target.value = "";
    call(wanted, await Promise.all(files.map((file) => file.slice(0, MOST + 1).text())));
  });

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("[data-copy]")?.dataset.copy;
    if (!link) return;
    const address = `${location.origin}${location.pathname.replace(/index\.html$/, "")}#lesson=${link}`;
    try { await navigator.clipboard.writeText(address); say("The link is copied. It carries the whole lesson."); }
    catch { say(address); }  // no clipboard without TLS: it can be copied from here
  });
  const say = (text) => { const place = document.getElementById("copied"); if (place) place.textContent = text; };

  // Every step begins at its top, also where the one before was scrolled, and the keyboard goes on from there.
  let step = "";
  function begin(teach) {
    const now = [teach?.phase, teach?.step].join();
    if (now === step) return;
    step = now;
    setTimeout(() => {
      for (const part of document.querySelectorAll(".body, .svr, .words")) part.scrollTop = 0;
      document.querySelector(".words")?.focus({ preventScroll: true });
    }, 50);
  }

  const waiting = setInterval(() => {
    if (!window.trame?.state) return;
    clearInterval(waiting);
    window.trame.state.watch(["teach"], begin);
  }, 200);

  let tries = 0;
  const timer = setInterval(() => {
    const lesson = new URLSearchParams(location.hash.slice(1)).get("lesson");
    if (!lesson || ++tries > 300) { clearInterval(timer); return; }
    if (!window.trame?.state || !document.getElementById("views")) return;
    clearInterval(timer);
    history.replaceState(null, "", location.pathname);
    call("teach_link", lesson);
  }, 200);
  addEventListener("hashchange", () => location.hash.startsWith("#lesson=") && location.reload());
})();
