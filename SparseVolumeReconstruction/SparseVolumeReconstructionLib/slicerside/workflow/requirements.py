"""The Python packages that computing needs, and how to get them inside the application."""

from __future__ import annotations

import importlib.util
import subprocess

import slicer
import slicer.util

from ...geometry import InputError
from ..i18n import _

# Import names and what pip calls them; torch is left to the PyTorch extension, which knows the build for the machine.
_PACKAGES = {
    "pydantic": "pydantic>=2.7",
    "pydicom": "pydicom>=2.4",
    "safetensors": "safetensors>=0.4.3",
    "nrrd": "pynrrd>=1.0",
    "scipy": "scipy>=1.11",
    "skimage": "scikit-image>=0.22",
}


def missing_packages() -> list[str]:
    """Import names of the packages that are not installed; none is imported to find out."""
    return [name for name in ("torch", *_PACKAGES) if importlib.util.find_spec(name) is None]


def install_missing() -> None:
    """Install what is missing: torch through the PyTorch extension, the others with pip. Blocks; asks before it downloads.

    Raises InputError where pip fails, and where the PyTorch extension is missing; it is then offered for installation.
    """
    missing = missing_packages()
    if "torch" in missing:
        _install_torch()
    others = [_PACKAGES[name] for name in missing if name in _PACKAGES]
    if others:
        try:
            slicer.util.pip_install(others)
        except subprocess.CalledProcessError as error:
            raise InputError(
                _("{names} could not be installed ({error}); check the network.").format(names=", ".join(others), error=error)
            ) from error
    importlib.invalidate_caches()


def _install_torch() -> None:
    try:
        import PyTorchUtils
    except ImportError:
        manager = getattr(slicer.app, "extensionsManagerModel", lambda: None)()
        question = _("torch comes with the PyTorch extension. Install that extension now? The application has to be restarted afterwards.")
        if manager is None or not slicer.util.confirmOkCancelDisplay(question):
            raise InputError(_("Install the PyTorch extension (Extensions Manager), restart, and try again.")) from None
        if not manager.installExtensionFromServer("PyTorch", False, True):
            raise InputError(_("The PyTorch extension could not be installed; check the network and the Extensions Manager.")) from None
        raise InputError(_("The PyTorch extension was installed; restart the application and try again.")) from None
    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True) is None:
        raise InputError(_("torch was not installed."))
