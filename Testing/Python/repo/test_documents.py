"""What the documents say is so: links lead somewhere, commands exist, and the README stays short."""

import re
import subprocess
from posixpath import dirname, normpath

import pytest
from repo.test_imports import RANK, TOP

from SparseVolumeReconstructionLib.training.presets import shipped_presets

README_LINES = 150
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"\./run ([a-z][\w-]*)")
PRESET = re.compile(r"--config ([\w-]+)")


@pytest.fixture(scope="module")
def documents(files, repository) -> dict:
    """All Markdown texts by path."""
    return {path: (repository / path).read_text(encoding="utf-8") for path in files if path.suffix == ".md"}


def broken_links(path, text: str, repository) -> list[str]:
    """Links of a document to files that are not there."""
    links = [link for link in LINK.findall(text) if "://" not in link]
    return [link for link in links if not (repository / path.parent / link).exists()]


def test_links_lead_somewhere(documents, repository):
    found = {str(path): broken_links(path, text, repository) for path, text in documents.items()}
    assert {path: links for path, links in found.items() if links} == {}


def test_broken_links_are_found(repository):
    text = "[a](Docs/page.md) [b](Docs/nothing.md#here) [c](https://example.org) ![d](no.png)"
    assert broken_links(repository / "README.md", text, repository) == ["Docs/nothing.md", "no.png"]


def test_commands_and_presets_exist(documents, repository):
    done = subprocess.run([str(repository / "run"), "--help"], capture_output=True, text=True, check=True)
    there = set(re.findall(r"^  ([a-z-]+) ", done.stdout, re.MULTILINE))
    said = {word for text in documents.values() for word in COMMAND.findall(text)}
    assert {"demo", "test", "web", "reconstruct"} <= said <= there
    presets = {name for text in documents.values() for name in PRESET.findall(text)} - {"NAME"}
    assert len(presets) > 2 and presets <= shipped_presets().keys()


def test_every_document_is_reached_from_the_readme(documents):
    """Directly, or from a document that is."""
    texts = {path.as_posix(): text for path, text in documents.items()}
    reached, found = set(), {"README.md"}
    while found:
        path = found.pop()
        reached.add(path)
        links = {normpath(f"{dirname(path)}/{link}".lstrip("/")) for link in LINK.findall(texts[path])}
        found |= (links & set(texts)) - reached
    assert set(texts) - reached == set()


def test_every_kind_of_file_has_a_test(repository):
    """The table of what becomes of which input names tests that are there."""
    text = (repository / "Docs" / "formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+?) \| `(\S+)::(test_\w+)` \|$", text, re.MULTILINE)
    assert len(rows) == len(set(rows)) >= 95 and len(rows) == text.count("`test_") + text.count("::test_")
    texts = {file: (repository / "Testing" / "Python" / file).read_text() for *_, file, _ in rows}
    there = {file: re.findall(r"^def (test_\w+)", content, re.MULTILINE) for file, content in texts.items()}
    assert [f"{file}::{test}" for *_, file, test in rows if test not in there[file]] == []


def test_the_readme_is_short_and_says_what_matters(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= README_LINES
    for words in ("Not for diagnosis", "./run demo", "./run test", "CITATION.cff", "Limits"):
        assert words in text


def test_the_architecture_names_all_rooms_in_their_order(library, repository):
    text = (repository / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    named = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert sorted(named) == sorted({name.split(".")[0] for name in library} - {""})
    ranks = [RANK[room] for room in named if room in RANK]
    assert ranks == sorted(ranks) and set(named[len(ranks) :]) == TOP
