"""The Python packages that computing needs, and how to get them inside the application."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import slicer
import slicer.util

from ..geometry import InputError
from ..mrml.i18n import _

PYTORCH = "PyTorch"  # the extension, too, is called so
_TORCH_MB, _TORCH_GPU_GB = 200, 3


@dataclass(frozen=True)
class _Package:
    """A package to install.

    Attributes:
        name: what pip calls it.
        requirement: with its version.
        download_mb: with what comes along, beyond what the application has.
    """

    name: str
    requirement: str
    download_mb: int


# By import name; torch is left to the PyTorch extension, which knows the build for the machine.
_PACKAGES = {
    "pydantic": _Package("pydantic", "pydantic>=2.7", 3),
    "pydicom": _Package("pydicom", "pydicom>=2.4", 2),
    "nibabel": _Package("nibabel", "nibabel>=5.1", 4),
    "platformdirs": _Package("platformdirs", "platformdirs>=4", 1),
    "safetensors": _Package("safetensors", "safetensors>=0.4.3", 1),
    "nrrd": _Package("pynrrd", "pynrrd>=1.0", 1),
    "scipy": _Package("scipy", "scipy>=1.11", 35),
    "skimage": _Package("scikit-image", "scikit-image>=0.22", 17),
}


def missing_packages() -> list[str]:
    """Names, as pip and people know them, of the packages that are not installed.

    None is imported to find out.
    """
    return [PYTORCH] * _torch_is_missing() + [package.name for package in _missing_small()]


def why_missing() -> str:
    """Why nothing can be computed while packages are missing, in a sentence; "" where none is."""
    missing = missing_packages()
    words = _("Python packages are missing: {names}. Press Install in the section Prior.")
    return words.format(names=", ".join(missing)) if missing else ""


def needed() -> str:
    """What has to be installed to compute, and how large it is, in a sentence.

    "" where nothing is missing.
    """
    small = _missing_small()
    parts = []
    if _torch_is_missing():
        parts.append(
            _("PyTorch (about {mb} MB; for a GPU up to {gb} GB)").format(mb=_TORCH_MB, gb=_TORCH_GPU_GB)
        )
    if small:
        names = ", ".join(package.name for package in small)
        size = sum(package.download_mb for package in small)
        words = (
            _("{count} small ones ({names}; about {mb} MB)")
            if len(small) > 1
            else _("one small one ({names}; about {mb} MB)")
        )
        parts.append(words.format(count=len(small), names=names, mb=size))
    if not parts:
        return ""
    return _("Some Python packages are needed to compute: {parts}.").format(parts=_(" and ").join(parts))


def question() -> str:
    """What to ask before anything is downloaded: what is needed, and what has to be done afterwards."""
    lines = [needed(), _("Download and install now? It takes some minutes.")]
    if _torch_is_missing() and not _has_extension():
        lines.append(
            _(
                "PyTorch comes with the extension {name}, which is not installed yet: it is installed first, "
                "then the application "
                "has to be restarted, and Install pressed once more."
            ).format(name=PYTORCH)
        )
    return "\n\n".join(lines)


def install_missing(tell: Callable[[str], None]) -> str:
    """Install what is missing: small packages with pip, torch through the PyTorch extension.

    Blocks, and asks nothing.

    Args:
        tell: called with what is being done.

    Returns:
        What to say at the end.

    Raises:
        InputError: where pip fails, and where the PyTorch extension is not there and cannot be installed.
    """
    small = _missing_small()
    for number, package in enumerate(small, start=1):
        tell(
            _("Installing {name} ({number} of {count})...").format(
                name=package.name, number=number, count=len(small)
            )
        )
        _pip_install(package)
    importlib.invalidate_caches()
    if _torch_is_missing():
        if not _has_extension():
            return _install_extension(tell)
        tell(_("Installing PyTorch; this takes some minutes..."))
        _install_torch()
    return _("All packages are installed.")


def _missing_small() -> list[_Package]:
    return [package for name, package in _PACKAGES.items() if importlib.util.find_spec(name) is None]


def _torch_is_missing() -> bool:
    return importlib.util.find_spec("torch") is None


def _has_extension() -> bool:
    return importlib.util.find_spec("PyTorchUtils") is not None


def _pip_install(package: _Package) -> None:
    try:
        slicer.util.pip_install([package.requirement])
    except subprocess.CalledProcessError as error:
        raise InputError(
            _("{name} could not be installed ({error}); check the network.").format(
                name=package.name, error=error
            )
        ) from error


def _install_extension(tell: Callable[[str], None]) -> str:
    manager = getattr(slicer.app, "extensionsManagerModel", lambda: None)()
    if manager is None:
        words = _(
            "PyTorch is still missing. Install the extension {name} (Extensions Manager), restart, and press "
            "Install again."
        )
        raise InputError(words.format(name=PYTORCH))
    tell(_("Installing the extension {name}...").format(name=PYTORCH))
    manager.interactive = False  # it was asked for already
    if not manager.installExtensionFromServer(PYTORCH, False, True):
        words = _(
            "The extension {name} could not be installed; check the network and the Extensions Manager."
        )
        raise InputError(words.format(name=PYTORCH))
    return _(
        "The extension {name} was installed. Restart the application, then press Install once more."
    ).format(name=PYTORCH)


def _install_torch() -> None:
    import PyTorchUtils

    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False) is None:
        raise InputError(_("PyTorch was not installed; the Python console tells why."))
