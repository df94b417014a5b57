"""Who gets which marker, and that `./run test --fast` leaves the marked ones out."""

import hashlib
import os
import subprocess

import pytest
from markers import MARKERS, markers_of
from workers import TOGETHER, share_of

ALL_MARKERS = {*MARKERS, "slow"}


@pytest.fixture(scope="module")
def fast_words(repository, tmp_path_factory) -> list[str]:
    """What `./run test --fast -x` hands to pytest: the script itself, with a Python that only prints."""
    environment = tmp_path_factory.mktemp("environment")
    (environment / "bin").mkdir()
    python = environment / "bin" / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo 2 || printf "%s\\n" "$@"\n')
    python.chmod(0o755)
    sources = (repository / "pyproject.toml").read_bytes() + (repository / "run").read_bytes()
    stamp = f"test {hashlib.sha256(sources).hexdigest()[:16]} {repository}"
    (environment / "ready").write_text(f"{stamp}\n")
    done = subprocess.run(
        [str(repository / "run"), "test", "--fast", "-x"],
        env={**os.environ, "SVR_VENV": str(environment)},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    return words[words.index("pytest") + 1 :]


def test_fast_leaves_out_every_marker(fast_words):
    assert fast_words[fast_words.index("-m") + 1].split(" and ") == [
        f"not {marker}" for marker in ("slow", "browser", "data", "gpu")
    ]
    assert {"slow", "browser", "data", "gpu"} == ALL_MARKERS
    assert "--fast" not in fast_words and fast_words[-1] == "-x"


@pytest.mark.parametrize(
    ("room", "file", "fixtures", "expected"),
    [
        ("geometry", "test_grid", [], set()),
        ("web", "test_binding", ["monkeypatch"], set()),
        ("web", "test_sessions", ["served"], {"browser"}),
        ("web", "test_access", ["slices", "page", "browse", "server", "served"], {"browser"}),
        ("reconstruction", "test_real_model", ["shared_data"], {"data"}),
        ("training", "test_train", ["shared_data"], {"slow", "data"}),
        ("priors", "test_gpu", [], {"gpu"}),
    ],
)
def test_markers_follow_from_folder_file_and_fixtures(room, file, fixtures, expected):
    assert markers_of(room, file, fixtures) == expected


def test_what_tests_share_is_made_in_one_process(request):
    """A file is not torn apart, and of a room whose files share a model no file."""
    for item in request.session.items:
        file, room = item.nodeid.split("::")[0], item.path.parent.name
        assert share_of(item.nodeid) == (file.rpartition("/")[0] if room in TOGETHER else file)
    shares = {share_of(f"Testing/Python/experiments/test_{name}.py::test[a/b]") for name in "ab"}
    assert shares == {"Testing/Python/experiments"}
    assert share_of("Testing/Python/web/test_a.py::test[b::c]") == "Testing/Python/web/test_a.py"


def test_every_collected_test_has_the_markers_of_its_fixtures(request):
    """Of all tests of this run: through fixtures of fixtures, too, and by hand only what is registered."""
    for item in request.session.items:
        given = {marker.name for marker in item.iter_markers()}
        room = item.path.relative_to(request.config.rootpath / "Testing" / "Python").parts[0]
        assert markers_of(room, item.path.stem, item.fixturenames) <= given, item.nodeid


@pytest.mark.slow
def test_pytest_selects_by_them(fast_words, repository, python, library_environment):
    """Real files: one that serves pages, one that does not, one for a GPU, one with some of each."""
    files = ("web/test_sessions.py", "web/test_binding.py", "priors/test_gpu.py", "priors/test_device.py")
    done = subprocess.run(
        [python, "-m", "pytest", "--collect-only", "-qq", *fast_words[fast_words.index("-m") :][:2]]
        + [f"Testing/Python/{file}" for file in files],
        cwd=repository,
        env=library_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if ".py: " in line)
    assert set(counts) == {f"Testing/Python/{file}" for file in (files[1], files[3])}, done.stdout
    assert counts[f"Testing/Python/{files[3]}"] == "8"
