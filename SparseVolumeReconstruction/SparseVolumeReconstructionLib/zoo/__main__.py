"""Write the embedded lists of models and the schema anew from the weights files there.

python -m SparseVolumeReconstructionLib.zoo
"""

import json

from .manifest import EMBEDDED, manifest_schema, write_manifest
from .weights import described

for folder in (EMBEDDED, EMBEDDED / "readers", EMBEDDED / "synthesis"):
    write_manifest(folder, described(folder))
(EMBEDDED / "models.schema.json").write_text(json.dumps(manifest_schema(), indent=2) + "\n")
