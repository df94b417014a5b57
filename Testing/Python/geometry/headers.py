"""NRRD and MetaImage files as text."""

from __future__ import annotations

META = "ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"


def with_unit(name: str, unit: str, mm: float) -> bytes:
    """A file of 30 x 30 x 2 voxels of 2 x 2 x 5 mm whose header states them in `unit`, of so many mm."""
    x, z = f"{2 / mm:g}", f"{5 / mm:g}"
    if name == "v.mha":
        return (
            f"{META}DimSize = 30 30 2\nElementSpacing = {x} {x} {z}\n"
            f"DistanceUnits = {unit}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
        ).encode() + bytes(1800)
    return (
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 30 30 2\n"
        f"space directions: ({x},0,0) (0,{x},0) (0,0,{z})\nspace origin: (0,0,0)\nencoding: raw\n"
        f'space units: "{unit}" "{unit}" "{unit}"\nthicknesses: NaN NaN {4 / mm:g}\n\n'
    ).encode() + bytes(1800)
