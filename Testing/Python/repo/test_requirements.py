"""requirements/ pins what pyproject.toml asks for, and all that this asks for, with hashes."""

import re
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

EXTRAS = ("demo", "web", "batch", "train", "test")
FILES = {
    "demo": ("demo",),
    **{extra: ("demo", extra) for extra in ("web", "batch", "train")},
    "test": EXTRAS,
}  # as install_packages of ./run has them
PYTHONS, SYSTEMS = ("3.10", "3.11", "3.12", "3.13"), ("linux", "darwin", "win32")
OF_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")  # ./run installs it before the others


def environments():
    """What markers are asked for, of every Python and system."""
    os_names = {"win32": "nt"}
    for python in PYTHONS:
        for system in SYSTEMS:
            yield {
                "python_version": python,
                "python_full_version": f"{python}.7",
                "sys_platform": system,
                "os_name": os_names.get(system, "posix"),
                "extra": "",
            }


@pytest.fixture(scope="module")
def pinned(repository) -> dict[str, list[tuple[Requirement, list[str]]]]:
    """{file: its requirements, each with its hashes}."""
    found = {}
    for extra in EXTRAS:
        text = (repository / "requirements" / f"{extra}.txt").read_text(encoding="utf-8")
        entries = [e for e in re.split(r"^(?=[a-z#])", text, flags=re.M) if e and not e.startswith("#")]
        found[extra] = [
            (Requirement(entry.partition("\\")[0]), re.findall(r"--hash=(\S+)", entry)) for entry in entries
        ]
    return found


@pytest.fixture(scope="module")
def asked(repository) -> dict[str, list[Requirement]]:
    """{extra: what pyproject.toml asks for it and for all, and for making the package}."""
    content = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    extras, own = content["project"]["optional-dependencies"], content["project"]["name"]

    def of(extra):
        for each in map(Requirement, extras[extra]):
            if each.name == own:
                yield from (one for inner in sorted(each.extras) for one in of(inner))
            else:
                yield each

    always = [*content["project"]["dependencies"], *content["build-system"]["requires"]]
    return {extra: [*map(Requirement, always), *of(extra)] for extra in extras}


def test_every_requirement_is_pinned_within_its_limits(pinned, asked):
    assert set(asked) == set(EXTRAS)
    for environment in environments():
        for extra, wanted in asked.items():
            versions = {
                canonicalize_name(one.name): next(iter(one.specifier)).version
                for file in FILES[extra]
                for one, _ in pinned[file]
                if one.marker is None or one.marker.evaluate(environment)
            }
            for each in wanted:
                name = canonicalize_name(each.name)
                if name != "torch":
                    assert each.specifier.contains(versions.get(name, "0")), (
                        f"{extra}: {each} is not what requirements/ has; run .ci/lock"
                    )


def test_every_file_has_a_sha256_and_no_address(pinned, repository):
    for extra, entries in pinned.items():
        text = (repository / "requirements" / f"{extra}.txt").read_text(encoding="utf-8")
        assert "://" not in text and "--index" not in text
        for one, hashes in entries:
            assert [each.operator for each in one.specifier] == ["=="], one
            assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), one
            assert not OF_TORCH.fullmatch(one.name)


def needed(wanted: list[Requirement]) -> set[str]:
    """Names of packages and of all that they ask for in turn, as they are installed here."""
    found, rest = set(), [(each.name, frozenset(each.extras), each.marker) for each in wanted]
    while rest:
        name, extras, marker = rest.pop()
        if (marker and not marker.evaluate({"extra": ""})) or (canonicalize_name(name), extras) in found:
            continue
        found.add((canonicalize_name(name), extras))
        for one in map(Requirement, requires(name) or ()):
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in {"", *extras}):
                rest.append((one.name, frozenset(one.extras), None))
    return {name for name, _ in found}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_installed_here_is_pinned_and_nothing_else(extra, pinned, asked):
    """Also what no requirement of pyproject.toml names, but one of them needs."""
    try:
        wanted = needed(asked[extra])
    except PackageNotFoundError as error:
        pytest.skip(f"{error} is not installed here")
    here = {
        canonicalize_name(one.name)
        for file in FILES[extra]
        for one, _ in pinned[file]
        if one.marker is None or one.marker.evaluate()
    }
    missing = {name for name in wanted - here if not OF_TORCH.fullmatch(name)}
    assert (missing, here - wanted) == (set(), set()), "run .ci/lock"
