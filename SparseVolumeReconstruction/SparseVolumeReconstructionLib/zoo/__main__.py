"""Write the embedded models.json and its schema anew from the weights files there.

python -m SparseVolumeReconstructionLib.zoo
"""

import json

from .manifest import EMBEDDED, manifest_schema, write_manifest
from .weights import describe

write_manifest(
    EMBEDDED, [describe(path) for path in sorted(EMBEDDED.glob("*.safetensors"), key=lambda path: path.stem)]
)
(EMBEDDED / "models.schema.json").write_text(json.dumps(manifest_schema(), indent=2) + "\n")
