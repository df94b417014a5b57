"""The workflow and the hooks run what developers run, with the versions that the project names."""

import os
import re

import pytest
import yaml

NAMES = (".github/workflows/tests.yml", ".pre-commit-config.yaml")


@pytest.fixture(scope="module")
def workflow(repository) -> dict:
    """The workflow of the tests."""
    return yaml.safe_load((repository / NAMES[0]).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hooks(repository) -> dict:
    """Revisions and hooks of pre-commit by repository."""
    found = yaml.safe_load((repository / NAMES[1]).read_text(encoding="utf-8"))["repos"]
    return {each["repo"].rpartition("/")[2]: each for each in found}


def scripts_of(workflow: dict) -> list[str]:
    """Scripts of this repository that the jobs run."""
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return re.findall(
        r"^\s*(\.?[\w./-]*(?:\.ci/\w+|/run))\b", "\n".join(s.get("run", "") for s in steps), re.M
    )


def test_the_workflow_runs_the_test_command_and_the_self_test(workflow, repository):
    scripts = scripts_of(workflow)
    assert scripts == [".ci/run", ".ci/slicer"]
    assert all(os.access(repository / script, os.X_OK) for script in scripts)
    assert (
        "/run" in (repository / scripts[0]).read_text() and " test" in (repository / scripts[0]).read_text()
    )
    assert workflow[True].keys() >= {"push", "pull_request"}  # YAML takes "on" for true
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())


def test_packages_are_audited_every_week(repository):
    audit = yaml.safe_load((repository / ".github/workflows/audit.yml").read_text(encoding="utf-8"))
    assert len(audit[True]["schedule"][0]["cron"].split()) == 5 and audit["permissions"] == {
        "contents": "read"
    }
    told = "\n".join(step.get("run", "") for step in audit["jobs"]["audit"]["steps"])
    assert "./run web" in told and "pip-audit --path" in told and "cyclonedx-py environment .venv" in told


def test_the_workflow_tests_every_python_that_is_supported(workflow, repository):
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert all(isinstance(version, str) for version in versions)  # 3.10 is no number
    minors = [int(version.split(".")[1]) for version in versions]
    low, high = re.search(r"\(3, (\d+)\) <= .* <= \(3, (\d+)\)", (repository / "run").read_text()).groups()
    assert minors == list(range(int(low), int(high) + 1))
    assert f'requires-python = ">=3.{low}"' in (repository / "pyproject.toml").read_text()


def test_the_hooks_check_with_the_same_ruff(hooks, repository):
    low, high = re.search(r'"ruff>=([\d.]+),<([\d.]+)"', (repository / "pyproject.toml").read_text()).groups()
    numbers = [
        tuple(map(int, v.split("."))) for v in (low, hooks["ruff-pre-commit"]["rev"].lstrip("v"), high)
    ]
    assert numbers[0] <= numbers[1] < numbers[2]
    named = {hook["id"] for each in hooks.values() for hook in each["hooks"]}
    assert {
        "ruff-check",
        "ruff-format",
        "end-of-file-fixer",
        "check-added-large-files",
        "actionlint",
    } <= named


def badly_ended(text: str) -> bool:
    """Whether a text lacks its last end of line, has too many, or has spaces before one."""
    if not text:
        return False
    return not text.endswith("\n") or text.endswith("\n\n") or bool(re.search(r"[ \t]$", text, re.MULTILINE))


def test_all_texts_end_as_the_hooks_want(files, repository):
    """So the hooks change nothing."""
    found = []
    for path in files:
        try:
            text = (repository / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if badly_ended(text):
            found.append(str(path))
    assert found == []


@pytest.mark.parametrize(("text", "bad"), [("", 0), ("a\n", 0), ("a", 1), ("a\n\n", 1), ("a \nb\n", 1)])
def test_bad_ends_are_found(text, bad):
    assert badly_ended(text) == bad
