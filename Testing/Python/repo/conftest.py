"""The sources as the house-rule tests see them."""

import ast
import subprocess
from pathlib import Path

import pytest

LIBRARY = "SparseVolumeReconstructionLib"


@pytest.fixture(scope="session")
def files(repository) -> list[Path]:
    """All files of the repository, relative to it: those git knows or would add, or what lies there without
    git.
    """
    command = ["git", "-C", str(repository), "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found = [Path(line) for line in done.stdout.splitlines()]
    else:
        found = [path.relative_to(repository) for path in repository.rglob("*") if path.is_file()]
        found = [path for path in found if not any(_is_generated(part) for part in path.parts)]
    found = [path for path in found if (repository / path).is_file()]
    assert len(found) > 20
    return sorted(found)


def _is_generated(part: str) -> bool:
    hidden = part.startswith(".") and part not in (".ci", ".github", ".gitignore", ".pre-commit-config.yaml")
    return hidden or part.endswith((".egg-info", "__pycache__")) or part == "demo-output"


@pytest.fixture(scope="session")
def sources(files, repository) -> dict[Path, ast.Module]:
    """Syntax trees of all Python files."""
    return {
        path: ast.parse((repository / path).read_text(encoding="utf-8"), str(path))
        for path in files
        if path.suffix == ".py"
    }


@pytest.fixture(scope="session")
def library(sources) -> dict[str, ast.Module]:
    """Syntax trees of the library by module name, e.g. "geometry.grid"; packages without "__init__"."""
    modules = {}
    for path, tree in sources.items():
        if LIBRARY in path.parts:
            parts = list(path.with_suffix("").parts[path.parts.index(LIBRARY) + 1 :])
            tree.is_package = parts[-1] == "__init__"
            modules[".".join(parts[:-1] if tree.is_package else parts)] = tree
    return modules
