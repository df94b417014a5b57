"""How quick the page is, measured in the browser.

Frames while a slice view is scrolled, and a new slice until its posterior is shown.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry import InputError
from ..worker import WorkerClient
from ..worker.measured import mean_as_scan, resident_mib
from .chromium import headless_chromium, missing
from .watchdog import SAID, VARIABLE

SCROLL_S, UPDATES, RESULTS = 6.0, 6, 20
_BLOCKED_MS, _SAMPLES, _RESULT_S = 20.0, 2, 600.0
_SIZE = (1400, 900)
_SPACING_MM = 2.0
_TIMEOUT_S = 120.0
_SETTLED_S = 1.5

# Moves the axial slider every 20 ms and counts the pictures that arrive; gives [pictures, seconds].
_SCROLL = """
const [seconds, done] = arguments, slider = document.getElementById("scroll-Red");
const picture = document.querySelector('[data-view="Red"] img');
let pictures = 0, step = 0;
const watch = new MutationObserver(() => { pictures += 1; });
watch.observe(picture, {attributes: true, attributeFilter: ["src"]});
const start = performance.now(), timer = setInterval(() => {
  slider.value = -20 + (step++ % 50);
  slider.dispatchEvent(new Event("input"));
}, 20);
setTimeout(() => { clearInterval(timer); watch.disconnect(); done([pictures, (performance.now() - start) / 1000]); }, seconds * 1000);
"""  # noqa: E501
# Lets the samples be played; gives [samples, seconds]: those that were named and of which a picture arrived.
_PLAY = """
const [seconds, done] = arguments, button = document.getElementById("play-button");
const picture = document.querySelector('[data-view="Red"] img'), number = document.getElementById("sample-number");
let pictures = 0, numbers = 0;
const watch = new MutationObserver(() => { pictures += 1; }), count = new MutationObserver(() => { numbers += 1; });
watch.observe(picture, {attributes: true, attributeFilter: ["src"]});
count.observe(number, {characterData: true, childList: true, subtree: true});
button.click();
const start = performance.now();
setTimeout(() => {
  button.click();
  watch.disconnect();
  count.disconnect();
  done([Math.min(pictures, numbers), (performance.now() - start) / 1000]);
}, seconds * 1000);
"""  # noqa: E501
# Takes the coronal slice at an offset; gives the seconds from the click to the sagittal picture of the new
# mean.
_UPDATE = """
const [offset, done] = arguments, slider = document.getElementById("scroll-Green"), rest = (ms) => new Promise((go) => setTimeout(go, ms));
const live = () => Boolean(document.getElementById("live-mark")), idle = async () => { do await rest(300); while (live()); };
const picture = document.querySelector('[data-view="Yellow"] img');
(async () => {
  await idle();
  slider.value = offset;
  slider.dispatchEvent(new Event("input"));
  await idle();
  await rest(700);
  const pictures = [], watch = new MutationObserver(() => { pictures.push(performance.now()); });
  watch.observe(picture, {attributes: true, attributeFilter: ["src"]});
  const start = performance.now(), late = () => performance.now() - start > 30000;
  document.getElementById("add-Green").click();
  while (!live() && !late()) await rest(4);
  while (live() && !late()) await rest(4);
  const ended = performance.now(), shown = () => pictures.find((time) => time >= ended - 30);
  while (!shown() && !late()) await rest(4);
  watch.disconnect();
  done(shown() ? (shown() - start) / 1000 : null);
})();
"""  # noqa: E501


@dataclass(frozen=True)
class PageSpeed:
    """What was measured of the page.

    Attributes:
        frames_per_s: pictures of the axial view while it is scrolled.
        samples_per_s: samples that were shown there while they were played; nan where none were made.
        update_s: of every slice that was added, to the shown posterior.
        memory_mib: resident memory of the server's process at the start and after each of RESULTS
            reconstructions with two samples, of which the last two are kept; empty where the system does not
            tell.
        blocked_ms: the longest that one thing computed on the event loop.
    """

    frames_per_s: float
    samples_per_s: float
    update_s: list[float]
    memory_mib: list[float]
    blocked_ms: float


def page_speed(prior_id: str) -> PageSpeed:
    """Start a server and a browser and measure, warm.

    The scan is the prior's own mean, so that no data is needed; the frame is known.

    Raises:
        InputError: where no browser can be had, or the page does not answer.
    """
    if why := missing():
        raise InputError(why)
    with tempfile.TemporaryDirectory(prefix="svr-page-") as folder:
        scan, log = Path(folder) / "scan.nrrd", Path(folder) / "log.txt"
        with closing(WorkerClient()) as client:
            mean_as_scan(client, prior_id, _SPACING_MM, scan)
        with served(log, "--input", str(scan)) as (address, process):
            driver = headless_chromium(Path(folder) / "browser", *_SIZE)
            try:
                frames, updates = _measure(driver, address, prior_id)
                memory = _memory(driver, process)
                return PageSpeed(frames, _samples_per_s(driver), updates, memory, _blocked_ms(log))
            finally:
                driver.quit()


def _measure(driver, address: str, prior_id: str) -> tuple[float, list[float]]:
    driver.set_script_timeout(_TIMEOUT_S)
    driver.get(address)
    _until(
        driver,
        "return document.querySelectorAll('.scans li').length === 1 && "
        "!document.getElementById('cancel-button')",
    )
    _until(driver, "return Boolean(document.querySelector('[data-view=\"Red\"] img')?.src)")
    _set(driver, "prior-menu", prior_id)
    _set(driver, "frame-mode", "registered")
    driver.execute_async_script(_SCROLL, 1.0)
    pictures, seconds = driver.execute_async_script(_SCROLL, SCROLL_S)
    driver.find_element("id", "add-Red").click()
    _until(driver, "return document.querySelectorAll('.table tbody .link').length === 1")
    driver.find_element("id", "live").click()
    updates = [driver.execute_async_script(_UPDATE, -30 + 10 * n) for n in range(UPDATES + 1)][1:]
    if None in updates:
        raise InputError("the page showed no update within 30 s.")
    return pictures / seconds, updates


def _samples_per_s(driver) -> float:
    """Samples of the last result that are shown while they are played."""
    if not driver.find_element("id", "sample-slider").is_enabled():
        return math.nan
    driver.execute_async_script(_PLAY, 0.5)
    shown, seconds = driver.execute_async_script(_PLAY, SCROLL_S)
    return shown / seconds


def _memory(driver, process: int) -> list[float]:
    """MiB of a process (id) now and after every reconstruction.

    Older results than the last two are removed.
    """
    if resident_mib(process) is None:
        return []
    driver.find_element("id", "live").click()
    state = "return window.trame.state.state"
    _until(driver, f"{state}.p_live === false")
    _set(driver, "out-samples", str(_SAMPLES))
    measured = [resident_mib(process)]
    for _ in range(RESULTS):
        known = driver.execute_script(f"{state}.scan.results.map((each) => each.id)")
        driver.execute_script("window.trame.trigger('run_apply')")
        _until(driver, f"{state}.scan.results.some((each) => !{known}.includes(each.id))", _RESULT_S)
        for old in known[:-1]:
            driver.execute_script("window.trame.trigger('scan_remove', [arguments[0]])", old)
        _until(driver, f"{state}.scan.results.length <= 2 && !window.trame.state.state.run.running")
        time.sleep(_SETTLED_S)
        measured.append(resident_mib(process))
    return measured


def _blocked_ms(log: Path) -> float:
    """The longest that the event loop was kept by one thing, as the server's log says.

    0 where nothing kept it for _BLOCKED_MS.
    """
    return max(map(float, re.findall(rf"{SAID} (\d+) ms", log.read_text(errors="replace"))), default=0.0)


def _set(driver, name: str, value: str) -> None:
    """Choose an entry of a menu by its value, also in a closed section."""
    script = (
        "const menu = document.getElementById(arguments[0]); menu.value = arguments[1]; "
        "menu.dispatchEvent(new Event('change'))"
    )
    driver.execute_script(script, name, value)


def _until(driver, script: str, seconds: float = _TIMEOUT_S) -> None:
    until = time.monotonic() + seconds
    while not driver.execute_script(script):
        if time.monotonic() > until:
            raise InputError(f"the page did not get ready within {seconds:.0f} s.")
        time.sleep(0.1)


@contextmanager
def served(log: Path, *words: str) -> Iterator[tuple[str, int]]:
    """Address and process id of a server in a process of its own, on any port.

    Args:
        log: file for what it says, which is watched for what keeps its event loop.
        words: of the command line, after `web`.

    Raises:
        InputError: it did not start.
    """
    command = [sys.executable, "-m", "SparseVolumeReconstructionLib.cli", "web", "--port", "0", *words]
    watched = {**os.environ, VARIABLE: str(_BLOCKED_MS)}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=watched
        )
    try:
        until = time.monotonic() + _TIMEOUT_S
        while not (found := re.search(r"Open (\S+)", log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > until:
                raise InputError(
                    f"the server did not start: {log.read_text(errors='replace').strip()[-300:]}"
                )
            time.sleep(0.1)
        yield found[1], process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:  # what went wrong before is what must be told
            process.kill()


def table(speed: PageSpeed) -> str:
    """The measurements as text."""
    return (
        f"page, headless Chromium, {_SIZE[0]} x {_SIZE[1]}: {speed.frames_per_s:.1f} frames per second while "
        f"a slice view is scrolled; {speed.samples_per_s:.1f} samples per second in the player; "
        f"a slice added until its posterior is shown: median {np.median(speed.update_s):.2f} s, "
        f"slowest of {len(speed.update_s)} {max(speed.update_s):.2f} s{_load()}\n"
        f"the longest that one thing computed on the event loop: {speed.blocked_ms:.0f} "
        f"ms{_memory_text(speed.memory_mib)}"
    )


def _memory_text(memory_mib: list[float]) -> str:
    if not memory_mib:
        return ""
    first = memory_mib[0]
    last = memory_mib[-1]
    most = max(memory_mib)
    count = len(memory_mib) - 1
    return (
        f"; memory of the session: {first:.0f} MiB, after {count} reconstructions, the last two kept, "
        f"{last:.0f} MiB, most {most:.0f} MiB"
    )


def _load() -> str:
    """How busy the machine was in the last minute, where the system tells.

    Such numbers mean little without it.
    """
    return f" (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)" if hasattr(os, "getloadavg") else ""
