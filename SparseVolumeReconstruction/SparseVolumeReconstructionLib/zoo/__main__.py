"""Write the embedded lists of models and the schema anew from the weights files there.

python -m SparseVolumeReconstructionLib.zoo
"""

import json

from .manifest import EMBEDDED, manifest_schema, write_manifest
from .weights import describe, stored_card

for folder in (EMBEDDED, EMBEDDED / "readers", EMBEDDED / "synthesis"):
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stem)
    write_manifest(folder, [describe(path, stored_card(path)) for path in files])
(EMBEDDED / "models.schema.json").write_text(json.dumps(manifest_schema(), indent=2) + "\n")
