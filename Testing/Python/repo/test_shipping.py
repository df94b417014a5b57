"""What is shipped: everything listed, within the size budget, with consistent words."""

import json
import re
import struct
from pathlib import Path

import pytest
import yaml

import SparseVolumeReconstructionLib

MODULE = "SparseVolumeReconstruction"
# 4 MB of the weights are 15 donors, 18 MB the fields of tissues, by which brain-t1 is seen in any contrast
EMBEDDED_WEIGHTS_BYTES, ALL_MODELS_BYTES, OTHER_FILE_BYTES = 70e6, 71e6, 1e6
METADATA = {"HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"}
INDEX_FIELDS = {
    "$schema",
    "build_dependencies",
    "build_subdirectory",
    "category",
    "scm_revision",
    "scm_url",
    "tier",
}
MACHINE_FOLDERS = ("work", "root", "tmp/w", r"home/\w+", r"Users/\w+")
MACHINE = re.compile(
    "|".join([rf"(?<![\w.])/{folder}/" for folder in MACHINE_FOLDERS] + [r"\.\./" + "shared"])
)
HOSTS = re.compile(
    "|".join(
        rf"{name}\.(?:org|com|io)"
        for name in ("pypi", "pythonhosted", "download.pytorch", "anaconda", "conda")
    )
)


def text_of(path: Path) -> str | None:
    """The text of a file; None for pictures, weights and the like."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def test_cmake_lists_every_shipped_file(files, repository):
    listed = set(
        re.findall(
            r"^ +([\w./\-]+\.\w+)$", (repository / MODULE / "CMakeLists.txt").read_text(), re.MULTILINE
        )
    )
    there = {
        path.relative_to(MODULE).as_posix()
        for path in files
        if path.parts[0] == MODULE and path.name != "CMakeLists.txt"
    }
    assert sorted(there - listed) == [], "add these lines to SparseVolumeReconstruction/CMakeLists.txt"
    assert sorted(listed - there) == [], (
        "these lines of SparseVolumeReconstruction/CMakeLists.txt name no file"
    )


@pytest.fixture(scope="module")
def metadata(repository) -> dict[str, str]:
    """EXTENSION_ values of the top CMakeLists; each must stand on one line, as the index reads them."""
    text = (repository / "CMakeLists.txt").read_text()
    values = dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]*)"\)$', text, re.MULTILINE))
    assert text.count("set(EXTENSION_") == len(values)
    assert re.search(rf"^project\({MODULE}\)$", text, re.MULTILINE)
    return values


def test_extension_metadata_is_complete_and_well_formed(metadata, repository):
    assert set(metadata) == METADATA and all(value.strip() for value in metadata.values())
    raw = metadata["HOMEPAGE"].replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    pictures = [metadata["ICONURL"], *metadata["SCREENSHOTURLS"].split()]
    assert len(pictures) >= 3
    for address in pictures:  # of files that are here
        assert address.startswith(raw) and (repository / address.removeprefix(raw)).is_file(), address
    icon = (repository / metadata["ICONURL"].removeprefix(raw)).read_bytes()
    assert icon[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", icon[16:24]) == (128, 128)
    assert metadata["DEPENDS"] == "PyTorch" and len(metadata["DESCRIPTION"]) > 40
    module = (repository / MODULE / f"{MODULE}.py").read_text(encoding="utf-8")
    assert f'contributors = ["{metadata["CONTRIBUTORS"]}"]' in module
    assert f'categories = ["{metadata["CATEGORY"]}"]' in module


def test_the_entry_of_the_extensions_index_says_the_same(metadata, repository):
    entry = json.loads((repository / "Resources" / f"{MODULE}.json").read_text())
    assert set(entry) == INDEX_FIELDS and entry["$schema"].endswith("catalog-entry-schema-v1.0.1.json#")
    assert entry["category"] == metadata["CATEGORY"]
    assert entry["build_dependencies"] == metadata["DEPENDS"].split()
    assert entry["scm_url"] == f"{metadata['HOMEPAGE']}.git" and entry["tier"] in (1, 3, 5)


def test_weights_stay_within_the_budget(files, repository):
    size = {path: (repository / path).stat().st_size for path in files}
    assert sum(n for path, n in size.items() if path.suffix == ".safetensors") <= EMBEDDED_WEIGHTS_BYTES
    assert sum(n for path, n in size.items() if "Models" in path.parts) <= ALL_MODELS_BYTES
    large = {
        str(path): n for path, n in size.items() if path.suffix != ".safetensors" and n > OTHER_FILE_BYTES
    }
    assert large == {}


def test_weights_and_images_lie_only_where_they_belong(files):
    """Weights are safetensors among the models; the only image is the sample, cut from an average of many
    people.
    """
    foreign = {
        ".pt",
        ".pth",
        ".ckpt",
        ".pkl",
        ".bin",
        ".npz",
        ".npy",
        ".onnx",
        ".nii",
        ".gz",
        ".nrrd",
        ".mha",
        ".dcm",
        ".mrb",
    }
    assert [path.name for path in files if path.suffix.lower() in foreign] == ["sparse-brain-4-slices.nrrd"]
    models = Path(MODULE, "Resources", "Models")
    assert [str(path) for path in files if path.suffix == ".safetensors" and models not in path.parents] == []


def test_texts_name_no_machine_and_no_registry(files, repository):
    found = []
    for path in files:
        for number, line in enumerate((text_of(repository / path) or "").splitlines(), 1):
            if match := MACHINE.search(line) or HOSTS.search(line):
                found.append(f"{path}:{number}: {match.group()}")
    assert found == []


def test_the_words_that_are_looked_for_are_found():
    folder = "work"
    assert (
        MACHINE.search(f"see /{folder}/main")
        and MACHINE.search("data in ../" + "shared/data")
        and HOSTS.search("https://pypi" + ".org/simple")
    )
    assert not MACHINE.search(f"path/{folder}/main") and not HOSTS.search("github.com")


def test_version_is_the_same_everywhere(repository):
    """In the library, the citation and the newest entry of the changelog, which has a date."""
    version = SparseVolumeReconstructionLib.__version__
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version and citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "abstract", "authors", "keywords"} <= citation.keys()
    assert 'attr = "SparseVolumeReconstructionLib.__version__"' in (repository / "pyproject.toml").read_text()
    headings = re.findall(r"^## (.*)$", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    entries = [
        re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", h) for h in headings if "Unrel" not in h
    ]
    assert all(entries), headings
    assert entries[0].groups() == (version, str(citation["date-released"]))
    assert [e.group(2) for e in entries] == sorted((e.group(2) for e in entries), reverse=True)


def test_manifest_and_schema_are_json(repository):
    for name in ("models.json", "models.schema.json"):
        json.loads((repository / MODULE / "Resources" / "Models" / name).read_text())
