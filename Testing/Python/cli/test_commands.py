"""Commands as scripts call them: exit codes, what is printed where, and what is written."""

import json
import signal
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from commands import COMMANDS

from SparseVolumeReconstructionLib.cli import main as run_in_process
from SparseVolumeReconstructionLib.cli.models import list_models
from SparseVolumeReconstructionLib.progress import Cancelled


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(capsys, command):
    assert run_in_process([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: ./run {command}" in text and f"examples:\n  ./run {command}" in text


@pytest.mark.parametrize("words", [(), ("train",), ("experiment",)])
def test_help_of_groups_says_whole_sentences(capsys, words):
    assert run_in_process([*words, "--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2].partition("examples:")[0]
    assert listed.count(".\n") >= 6 and "..." not in listed


def test_wrong_input_of_a_real_process(svr):
    for words in (
        (),
        ("models", "remove", "nobody"),
        ("reconstruct", "--prior", "nobody", "--output", "out"),
    ):
        done = svr(*words)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr


def test_wrong_words_are_one_line(refused):
    refused(says=["COMMAND"])
    refused("reconstrukt", says=["reconstrukt"])
    refused("reconstruct", "--prior", "x", says=["--output", "./run reconstruct --help"])
    refused(
        "reconstruct",
        "--prior",
        "x",
        "--output",
        "o",
        "--like",
        "v",
        "--spacing",
        "1",
        says=["not allowed with"],
    )
    refused("reconstruct", "--prior", "x", "--output", "o", "--spacing", "nan", says=["--spacing"])
    refused("reconstruct", "--prior", "x", "--output", "o", "--samples", "-2", says=["--samples"])
    refused("reconstruct", "--pri", "x", "--output", "o", says=["--prior"])
    refused(
        "evaluate",
        "--prior",
        "x",
        "--cohort",
        "c",
        "--frame",
        "other",
        "--contexts",
        "1",
        "--json",
        "j",
        says=["--frame"],
    )
    refused(
        "evaluate",
        "--prior",
        "x",
        "--cohort",
        "c",
        "--frame",
        "patient",
        "--contexts",
        "1,x",
        "--json",
        "j",
        says=["--contexts"],
    )
    refused("train", says=["SYSTEM"])
    named = ("train", "structured-gaussian", "--cohort", "c", "--out", "o", "--id", "My_model")
    refused(*named, says=["--id", "expected a-z, 0-9 and -"])


def test_models(svr, models_dir, refused, tmp_path):
    listed = svr("models")
    assert listed.returncode == 0 and "tiny" in [line.split()[0] for line in listed.stdout.splitlines()]
    done = svr("models", "verify")
    assert done.returncode == 0 and "tiny: ok" in done.stdout
    weights = next(models_dir.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b"x")
    done = svr("models", "verify")
    assert done.returncode == 2 and "SHA-256" in done.stderr and "tiny: ok" not in done.stdout
    done = svr("models", "import", tmp_path / "tiny.safetensors")
    assert done.returncode == 0 and done.stdout == "tiny: imported\n", done.stderr
    assert svr("models", "remove", "tiny").returncode == 0
    refused("models", "remove", "tiny", says=["tiny", "known:"])
    refused("models", "import", tmp_path / "none", says=["none"])


def test_reconstruct_without_context_writes_all_files(svr, models_dir, tmp_path):
    words = (
        "reconstruct",
        "--prior",
        "tiny",
        "--frame",
        "registered",
        "--spacing",
        "8",
        "--samples",
        "2",
        "--output",
        "new/out",
    )
    done = svr(*words, "--json-progress")
    assert done.returncode == 0, done.stderr
    images, others = ("mean", "std", "observed", "template", "template_mask"), {"frame.h5", "result.json"}
    names = {*(f"{name}.nrrd" for name in images), "samples.seq.nrrd"} | others
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == names
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events and all(set(event) == {"step", "fraction", "remaining_s"} for event in events)
    fractions = [event["fraction"] for event in events]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1
    assert done.stderr == ""
    done = svr(*words, "--format", "nii.gz")
    assert done.returncode == 0, done.stderr
    names = {f"{name}.nii.gz" for name in (*images, "samples")} | others
    there = sorted(tmp_path / "new" / "out" / name for name in names)
    assert sorted((tmp_path / "new" / "out").iterdir()) == there  # nothing is left of the older result
    assert sorted(done.stdout.splitlines()) == list(map(str, there))
    assert sitk.ReadImage(str(tmp_path / "new" / "out" / "samples.nii.gz")).GetSize()[3] == 2


def test_reconstruct_from_slices_of_a_file(svr, models_dir, tmp_path):
    image = sitk.GetImageFromArray(
        np.pad(40 + np.random.default_rng(0).integers(0, 60, (10, 12, 10)).astype(np.int16), 2)
    )
    image.SetSpacing((12, 12, 12))
    image.SetOrigin((-78, -90, -78))
    sitk.WriteImage(image, str(tmp_path / "body.nrrd"))
    words = (
        "--prior",
        "tiny",
        "--context",
        "body.nrrd:5,8",
        "--frame",
        "registered",
        "--like",
        "body.nrrd",
        "--output",
        "out",
    )
    done = svr("reconstruct", *words)
    assert done.returncode == 0, done.stderr
    told = "body.nrrd: slice thickness is not known; 5 mm, with gaps between slices 12 mm apart, was assumed."
    assert [line for line in done.stderr.splitlines() if line.startswith("warning: ") and line.endswith(told)]
    done = svr("reconstruct", *words[:-1], "strict", "--strict")
    assert done.returncode == 2 and not (tmp_path / "strict").exists()
    assert (
        len(done.stderr.splitlines()) == 1
        and done.stderr.startswith("error: ")
        and "(--strict)" in done.stderr
    )
    mean = sitk.ReadImage(str(tmp_path / "out" / "mean.nrrd"))
    assert mean.GetSize() == image.GetSize() and np.allclose(mean.GetOrigin(), image.GetOrigin())


def test_reconstruct_refuses_and_writes_nothing(refused, models_dir, tmp_path):
    base = ("reconstruct", "--frame", "registered", "--output", "out")
    (tmp_path / "text.nrrd").write_text("not an image")
    refused(*base, "--prior", "nobody", says=["nobody", "tiny"])
    refused(*base, "--prior", "tiny", "--context", "none.nrrd", says=["none.nrrd"])
    refused(*base, "--prior", "tiny", "--context", "text.nrrd", says=["text.nrrd"])
    refused(*base, "--prior", "tiny", "--context", "text.nrrd:x", says=["is no list of slices"])
    refused(*base, "--prior", "tiny", "--device", "cuda:99", says=["cuda:99"])
    refused(*base, "--prior", "tiny", "--device", "abacus", says=["abacus"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "text.nrrd", "tiny.safetensors"]


def heed_interrupts() -> None:
    """In the child: tests that run in the background of a script inherit that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_control_c_stops_with_130_and_leaves_nothing(python, environment, models_dir, tmp_path):
    words = (
        "reconstruct",
        "--prior",
        "tiny",
        "--frame",
        "registered",
        "--spacing",
        "1",
        "--samples",
        "300",
        "--output",
        "out",
        "--json-progress",
    )
    command = [python, "-m", "SparseVolumeReconstructionLib.cli", *words]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.splitlines() == ["error: stopped by the user; nothing was written"]
    assert process.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "tiny.safetensors"]


def test_control_c_within_exec_stops_with_130_too(python, environment, tmp_path):
    """Python itself would end by the signal here: a chance of one in fifty at any Control-C."""
    (tmp_path / "interrupted.py").write_text(
        "import os, runpy, signal, sys, time\n"
        "from SparseVolumeReconstructionLib.zoo import ModelStore\n"
        "ModelStore.find = lambda *_: exec('os.kill(os.getpid(), signal.SIGINT); time.sleep(9)')\n"
        "runpy.run_module('SparseVolumeReconstructionLib.cli', run_name='__main__')\n"
    )
    command = [python, "-m", "interrupted", "reconstruct", "--prior", "tiny", "--output", "out"]
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        check=False,
        preexec_fn=heed_interrupts,
    )
    assert (done.returncode, done.stderr) == (130, b"error: stopped by the user; nothing was written\n")


def test_evaluate_refuses_a_folder_that_is_none(refused, models_dir, tmp_path):
    words = ("--frame", "registered", "--contexts", "1,3")
    refused(
        "evaluate", "--prior", "tiny", "--cohort", "none", *words, "--json", "s.json", says=["none", "folder"]
    )
    refused(
        "evaluate",
        "--prior",
        "tiny",
        "--cohort",
        models_dir,
        *words,
        "--json",
        "no/s.json",
        says=["no/s.json"],
    )
    refused(
        "evaluate", "--prior", "nobody", "--cohort", models_dir, *words, "--json", "s.json", says=["nobody"]
    )
    assert not (tmp_path / "s.json").exists()


def test_worker_answers_and_ends_with_its_input(python, environment):
    command = [python, "-m", "SparseVolumeReconstructionLib.cli", "worker"]
    message = json.dumps({"op": "ping", "id": "1"}) + "\n"
    done = subprocess.run(
        command, input=message, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[0])["event"] == "pong"


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RuntimeError("two\nlines"), 1, "RuntimeError: two lines"),
        (Cancelled("x"), 130, "stopped by the user"),
        (KeyboardInterrupt(), 130, "stopped by the user"),
        (OSError(28, "No space left on device", "out.json"), 2, "out.json: No space left on device"),
    ],
)
def test_exit_codes_of_what_can_go_wrong(monkeypatch, capsys, error, code, says):
    def fail():
        raise error

    monkeypatch.setattr(list_models, "callback", fail)
    assert run_in_process(["models"]) == code
    assert says in capsys.readouterr().err.splitlines()[-1]
