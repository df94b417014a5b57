"""Try readers with inputs changed by chance until time is up, and say how many were tried and what was found.

.venv/bin/python Testing/Python/fuzz.py --seconds 600
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "SparseVolumeReconstruction"))

import fuzzing
import nibabel  # noqa: F401 - or every block would have to
import pydicom  # noqa: F401
from tiny_model import write_tiny

from SparseVolumeReconstructionLib.zoo import ModelStore

BLOCK = 500  # inputs that one process tries
HANG_S = 10


def targets_in(folder: Path) -> list[fuzzing.Target]:
    """All readers, with their valid files below a folder."""
    for name in ("store", "models", "valid"):
        (folder / name).mkdir()
    ModelStore(folder / "store").import_file(write_tiny(folder / "tiny.safetensors"))
    place, valid = fuzzing.place_of_scans(folder), fuzzing.valid_files(folder / "valid")
    files = [fuzzing.scans(suffix, valid[suffix], place) for suffix in fuzzing.SUFFIXES]
    return [*files, *fuzzing.models(folder / "store", folder / "models"), fuzzing.lines()]


def try_block(target: fuzzing.Target, seed: str, tried: Path) -> None:
    """BLOCK inputs; the one that is being tried lies in the file `tried`."""
    source = random.Random(seed)
    for _ in range(BLOCK):
        content = fuzzing.changed_by(source, target)
        tried.write_bytes(content)
        signal.alarm(HANG_S)  # ends this process where a reader hangs
        target.check(content)
    signal.alarm(0)


def finding(target: fuzzing.Target, seed: str, folder: Path) -> str | None:
    """What went wrong in a block, which has a process of its own; None where nothing did."""
    log = folder / "log"
    if (child := os.fork()) == 0:
        code = 0
        with open(log, "wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            try:
                try_block(target, seed, folder / "tried")
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                code = 1
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status == 0:
        return None
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "error"
    return f"{how}\n{log.read_text(errors='replace')[-1500:]}"


def run(seconds: float, seed: str, kept: Path) -> int:
    """Blocks of every reader in turn; inputs that are findings are kept in a folder. Returns how many."""
    tried: Counter[str] = Counter()
    found = 0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        targets = targets_in(Path(name))
        turn = 0
        while time.monotonic() < end:
            target = targets[turn % len(targets)]
            if why := finding(target, f"{seed} {turn}", Path(name)):
                found += 1
                kept.mkdir(parents=True, exist_ok=True)
                where = kept / f"{found}{target.name.replace(' ', '-')}"
                where.write_bytes((Path(name) / "tried").read_bytes())
                print(f"{target.name}: {where}: {why}", flush=True)
            else:
                tried[target.name] += BLOCK
            turn += 1
    for each in targets:
        print(f"{each.name:<20}{tried[each.name]:>10}")
    print(f"{tried.total()} inputs, {found} findings")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (600)")
    parser.add_argument("--seed", default="0", help="other seeds try other inputs (0)")
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz-findings"), help="folder for what is found"
    )
    given = parser.parse_args()
    sys.exit(bool(run(given.seconds, given.seed, given.findings)))
