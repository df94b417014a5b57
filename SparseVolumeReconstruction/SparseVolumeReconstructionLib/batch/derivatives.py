"""Where results of a batch lie: a BIDS derivatives folder, and beside it what is known of every case."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from .. import __version__
from ..geometry import InputError, file_errors
from ..geometry.io import write_atomically, write_text
from ..reconstruction.images import DESCRIPTION
from .cases import Case

_RECORDS = ".batch"
_BIDS = "1.9.0"
# What each file of a result is called behind the entities of its case.
_NAMES = {
    "mean.nii.gz": "desc-recon_{suffix}.nii.gz",
    "volume.nii.gz": "desc-recon_{suffix}.nii.gz",
    "std.nii.gz": "desc-std_{suffix}.nii.gz",
    "template.nii.gz": "desc-template_{suffix}.nii.gz",
    "atlas.nii.gz": "desc-atlas_{suffix}.nii.gz",
    "samples.nii.gz": "desc-samples_{suffix}.nii.gz",
    "observed.nii.gz": "desc-observed_mask.nii.gz",
    "seen.nii.gz": "desc-observed_mask.nii.gz",
    "brain_mask.nii.gz": "desc-brain_mask.nii.gz",
    "template_mask.nii.gz": "desc-template_mask.nii.gz",
    "frame.h5": "from-{suffix}_to-model_mode-points_xfm.h5",
    "poses.json": "desc-poses_{suffix}.json",
    "report.html": "desc-recon_{suffix}.html",
    "csf.nii.gz": "label-CSF_probseg.nii.gz",
    "gm.nii.gz": "label-GM_probseg.nii.gz",
    "wm.nii.gz": "label-WM_probseg.nii.gz",
    "csf_std.nii.gz": "label-CSF_desc-std_probseg.nii.gz",
    "gm_std.nii.gz": "label-GM_desc-std_probseg.nii.gz",
    "wm_std.nii.gz": "label-WM_desc-std_probseg.nii.gz",
    "reprojection.nii.gz": "desc-reprojection_{suffix}.nii.gz",
}


class Derivatives:
    """A derivatives folder.

    Args:
        folder: is made where it is not there.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self._records = self.folder / _RECORDS

    def prepare(self, source: str) -> None:
        """Make the folder and its dataset_description.json. Raises InputError when that cannot be written."""
        with file_errors(f"{self.folder}: cannot be written"):
            self._records.mkdir(parents=True, exist_ok=True)
        made_by = {"Name": "SparseVolumeReconstruction", "Version": __version__}
        description = {
            "Name": "Volumes inferred by SparseVolumeReconstruction; not for diagnosis",
            "BIDSVersion": _BIDS,
            "DatasetType": "derivative",
            "GeneratedBy": [made_by],
            "SourceDatasets": [{"URL": Path(source).absolute().as_uri()}],
        }
        write_text(json.dumps(description, indent=2) + "\n", self.folder / "dataset_description.json")
        write_text(f"{_RECORDS}/\n", self.folder / ".bidsignore")

    def staging(self, case: Case, attempt: str) -> Path:
        """A folder for one attempt at a case; nobody else's."""
        return self._records / f"{case.name}.{attempt}"

    def place(self, case: Case, result: Path, facts: dict[str, Any]) -> list[str]:
        """Move the files of a result to their names, sidecars included.

        What is known of the case is forgotten first: until it is kept again, its files may be of two results.
        A sidecar says that its image was inferred, so it is there before the image.

        Args:
            case: whose.
            result: its folder, with result.json; is removed.
            facts: what the sidecars say besides, JSON-ready.

        Returns:
            The files, relative to the derivatives folder.

        Raises:
            OSError: when they cannot be written.
        """
        parts = dict(pair.split("-", 1) for pair in case.name.split("_"))
        session = [f"ses-{parts['ses']}"] if "ses" in parts else []
        place = self.folder.joinpath(f"sub-{parts['sub']}", *session, "anat")
        place.mkdir(parents=True, exist_ok=True)
        provenance = json.loads((result / "result.json").read_text(encoding="utf-8"))
        told = {"Description": DESCRIPTION, **facts, "Provenance": provenance}
        self._record(case).unlink(missing_ok=True)
        placed = []
        for file in sorted(file for file in result.iterdir() if file.name in _NAMES):
            target = place / f"{case.name}_{_NAMES[file.name].format(suffix=case.suffix)}"
            if target.name.endswith(".nii.gz"):
                sidecar = target.with_name(target.name.replace(".nii.gz", ".json"))
                written = result / sidecar.name
                written.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
                os.replace(written, sidecar)
                placed.append(sidecar)
            os.replace(file, target)
            placed.append(target)
        shutil.rmtree(result)
        return [str(path.relative_to(self.folder)) for path in placed]

    def record(self, case: Case, said: dict[str, Any], picture: bytes | None = None) -> None:
        """Keep what is known of a case; atomically, after its files are there. Raises InputError."""
        if picture:
            write_atomically(self._picture(case), lambda path: Path(path).write_bytes(picture))
        write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", self._record(case))

    def _record(self, case: Case) -> Path:
        return self._records / f"{case.name}.json"

    def _picture(self, case: Case) -> Path:
        return self._records / f"{case.name}.png"

    def known(self, case: Case) -> dict[str, Any]:
        """What is known of a case; empty where it was never done or its record cannot be read."""
        try:
            said = json.loads(self._record(case).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def is_done(self, case: Case, digest: str) -> bool:
        """Whether the results of a case are there, whole, and made of the same inputs by the same recipe."""
        said = self.known(case)
        sizes = said.get("files", {})
        return (
            said.get("digest") == digest
            and said.get("status") == "done"
            and all(
                (path := self.folder / name).is_file() and path.stat().st_size == size
                for name, size in sizes.items()
            )
        )

    def picture(self, case: Case) -> bytes | None:
        """The mosaic of a case; None without one."""
        path = self._picture(case)
        return path.read_bytes() if path.is_file() else None

    def clear_attempts(self) -> None:
        """Remove what killed attempts have left."""
        for path in self._records.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)

    def check_is_not_source(self, source: Path) -> None:
        """Raise InputError where results would lie among the scans themselves."""
        if self.folder == source.absolute():
            raise InputError(f"{self.folder}: is the data set itself; choose another folder for --out.")
