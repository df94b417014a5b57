"""A scene in which everything is different from the default, made and saved in a process of its own.

    python -m host.saved_scene FOLDER

FOLDER gets scene.mrb, live.mrb (the same with live updates on) and facts.json. The models come from
$SVR_MODELS_DIR.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import slicer
import slicer.util

from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.mrml.nodes import add_transform, add_volume, volume_of
from SparseVolumeReconstructionLib.workflow.choices import Device, FrameMode, Layer

from .desk import THICKNESS, Desk
from .harness import Host
from .tiny_body import add_body, add_stack

VALUES = {
    "textured": True,
    "prior": "tiny",
    "covariateKnown": True,
    "covariate": 31.5,
    "frameMode": FrameMode.TRANSFORM,
    "showAtlas": True,
    "makeStd": False,
    "makeTemplate": False,
    "samples": 3,
    "name": "Ünusual {name}",
    "spacing": 4.5,
    "keepObserved": False,
    "device": Device.CPU,
    "seed": 7,
    "layer": Layer.SAMPLE,
    "opacity": 0.4,
    "sample": 1,
    "markObserved": True,
    "showBrain": True,
    "linkViews": False,
    "svrFolder": "a folder",
}
TOOL = "merge"
NODES = {"allVolume": "Stack", "likeVolume": "Grid", "frameTransform": "By hand", "reference": "Body"}


def facts(desk) -> dict:
    """What is to be the same after the scene was loaded."""
    p, result = desk.parameters, desk.result
    contexts = [
        [
            c.plane.tolist(),
            c.stated_thickness_mm,
            c.thickness_mm,
            c.enabled,
            c.view,
            *(node.GetName() for node in (c.volume, c.node)),
        ]
        for c in desk.contexts
    ]
    return {
        "contexts": contexts,
        "values": {
            name: getattr(p, name) if not hasattr(getattr(p, name), "value") else getattr(p, name).value
            for name in VALUES
        },
        "nodes": {name: getattr(p, name).GetName() for name in (*NODES, "atlas", "result")},
        "tool": tool_facts(desk),
        "provenance": result.provenance,
        "roles": {role: node.GetName() for role, node in result.roles.items()},
        "mean": digest(result.mean),
        "samples": [
            digest(result.samples.GetNthDataNode(n)) for n in range(result.samples.GetNumberOfDataNodes())
        ],
    }


def tool_facts(desk) -> list:
    """Options of a tool, and names of its inputs and of their masks, with their thickness."""
    use = desk.panel.presenter.tools[TOOL]
    masks = [slicer.mrmlScene.GetNodeByID(each.values["mask"]) for each in use.inputs]
    return [use.values] + [
        [each.node.GetName(), mask.GetName() if mask else "", each.values["thickness_mm"]]
        for each, mask in zip(use.inputs, masks, strict=True)
    ]


def digest(volume) -> str:
    """Hash of a volume's voxels."""
    return hashlib.sha256(slicer.util.arrayFromVolume(volume).tobytes()).hexdigest()


def fill(desk) -> None:
    """Five slices with gaps, one of them off and one of another thickness, and one of a volume that a
    transform has turned.
    """
    host, p = desk.host, desk.parameters
    p.prior, p.frameMode = "tiny", FrameMode.REGISTERED
    body, turn = add_body(), np.eye(4)
    turn[:2, :2], turn[:3, 3] = [[0.8, -0.6], [0.6, 0.8]], [3, -4, 5]
    body.SetAndObserveTransformNodeID(add_transform(turn, "Turn").GetID())
    add_body("Grid", (6.0, 5.0, 4.0), (28, 26, 20))
    desk.show(body)
    host.click(desk.ui.addGreenButton)
    desk.add_all(add_stack())
    desk.tick_cell(1)
    desk.edit_cell(2, THICKNESS, "3.25")
    host.click(desk.ui.atlasButton)
    desk.wait()
    shift = np.eye(4)
    shift[:3, 3] = [2, 1, -3]
    p.frameTransform = add_transform(shift, "By hand")
    for name, node in NODES.items():
        setattr(p, name, slicer.util.getNode(node))
    for name, value in VALUES.items():
        setattr(p, name, value)
    use = desk.panel.presenter.tools[TOOL]
    use.set_option("spacing_mm", 1.5)
    for name in ("Body", "Stack"):
        use.add(slicer.util.getNode(name))
    use.set_field(1, "thickness_mm", 6.5)
    stack = volume_of(slicer.util.getNode("Stack"))
    inside = add_volume(Volume((stack.array > 0).astype(np.uint8), stack.grid), "Inside")
    use.set_field(1, "mask", inside.GetID())
    desk.apply()
    for name in ("showAtlas", "layer"):  # a new result is shown
        setattr(p, name, VALUES[name])
    host.process(0.05)


def main(folder: Path) -> None:
    """Make and save the scene."""
    with Host() as host:
        desk = Desk(host)
        desk.clear()
        fill(desk)
        (folder / "facts.json").write_text(json.dumps(facts(desk)))
        slicer.util.saveScene(str(folder / "scene.mrb"))
        host.click(desk.ui.liveCheckBox)
        desk.wait()
        slicer.util.saveScene(str(folder / "live.mrb"))
        host.click(desk.ui.liveCheckBox)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
