// What only a browser can do: send files, name pictures, notice find a lost server again, the key C over a view.
(() => {
  const say = (text) => { const place = document.getElementById("upload-status"); if (place) place.textContent = text; };
  const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + " MB";

  function send(files) {
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const limit = Number(window.trame?.state.get("upload_limit") || 0);
    if (limit && total > limit) {
      say(`${files[0].name}: ${megabytes(total)}; at most ${megabytes(limit)} can be uploaded. Crop or resample it first.`);
      return;
    }
    const form = new FormData();
    files.forEach((file) => form.append("file", file, file.name));
    const request = new XMLHttpRequest();
    request.open("POST", "upload");
    request.setRequestHeader("X-SVR", "1");
    request.upload.onprogress = (event) => say(`uploading ${files[0].name}: ${Math.round((100 * event.loaded) / event.total)} %`);
    request.onload = () => say(request.status === 200 ? "" : request.responseText || "The upload failed.");
    request.onerror = () => say("The upload was cut off; check the connection and try again.");
    request.send(form);
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "upload-input" || !event.target.files.length) return;
    send([...event.target.files]);
    event.target.value = "";
  });

  // The view under the mouse, or without a mouse over any the one that has the focus: the key C takes its slice.
  const viewAt = (element) => element?.closest?.("[data-view]")?.dataset.view;
  let hovered = null;
  document.addEventListener("pointerover", (event) => { hovered = viewAt(event.target); });
  document.documentElement.addEventListener("pointerleave", () => { hovered = null; });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (event.key.toLowerCase() !== "c" || event.ctrlKey || event.metaKey || event.altKey || typing) return;
    window.trame.trigger("contexts_add", [hovered || viewAt(event.target) || ""]);
  });

  // A closed menu cuts a long name: all of it is read over it, also when the choice changes under a resting mouse.
  document.addEventListener("pointermove", (event) => {
    const menu = event.target.closest?.("select:not(.explained)");
    if (menu) menu.title = menu.selectedOptions[0]?.text || "";
  });

  document.querySelector("meta[name=viewport]").content = "width=device-width,initial-scale=1";  // everybody may zoom

  // The pictures of the views come without a text for those who cannot see them.
  new MutationObserver(() => document.querySelectorAll("[data-view] img:not([alt])").forEach((picture) => {
    picture.alt = picture.closest("[data-view]").getAttribute("aria-label");
  })).observe(document, { childList: true, subtree: true });

  // A page that has lost its server (see lost.html) comes back to the same session when the server answers; one that has ended does not.
  const lost = setInterval(() => {
    if (!document.querySelector(".lost")) return;
    fetch("alive", { cache: "no-store" }).then((answer) => {
      if (answer.ok) location.href = "./";
      if (answer.status !== 403) return;
      clearInterval(lost);
      document.querySelector(".lost h1").textContent = "The session has ended";
      document.querySelector(".lost p").innerHTML = "What was in it is forgotten. <a href='./'>Begin anew</a>";
    }).catch(() => {});
  }, 1500);
})();
