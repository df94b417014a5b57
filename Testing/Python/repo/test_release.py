"""What goes with a release is complete, and its signature holds for it alone."""

import json
import re
import shutil
import subprocess

import pytest

NAMESPACE = "sparse-volume-reconstruction"


def test_notes_are_signed_and_have_the_sha256_of_all_models_and_packages(repository, tmp_path):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    key, out = tmp_path / "key", tmp_path / "release"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run([repository / ".ci/release", "--out", out, "--key", key], check=True, capture_output=True)
    notes = (out / "NOTES.md").read_bytes()
    (tmp_path / "signers").write_text(f"release {key.with_suffix('.pub').read_text()}")
    verify = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "signers", "-I", "release", "-n", NAMESPACE]
    verify += ["-s", out / "NOTES.md.sig"]
    assert subprocess.run(verify, input=notes, check=False).returncode == 0
    changed = notes.replace(b"0", b"1", 1)
    assert subprocess.run(verify, input=changed, check=False, capture_output=True).returncode != 0
    sums = dict(reversed(line.split()) for line in re.findall(r"^ {4}(\w{64} .+)$", notes.decode(), re.M))
    models = repository / "SparseVolumeReconstruction/Resources/Models"
    manifest = json.loads((models / "models.json").read_text())
    for each in manifest:
        assert sums[(models / each["file"]).relative_to(repository).as_posix()] == each["sha256"]
    assert {path.name for path in models.rglob("*.safetensors")} == {
        name.rpartition("/")[2] for name in sums
    } - {"sbom.json"}
    listed = json.loads((out / "sbom.json").read_text())["components"]
    pinned = {
        line.split()[0]
        for file in (repository / "requirements").glob("*.txt")
        for line in file.read_text().splitlines()
        if line[0].isalpha()
    }
    assert {f"{each['name']}=={each['version']}" for each in listed} == pinned
    assert all(each["properties"] for each in listed)
