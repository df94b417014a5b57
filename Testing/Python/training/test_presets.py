"""Every shipped configuration says what it said in a file of its own: cards of models name digests."""

import pytest
import yaml

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.systems import all_systems
from SparseVolumeReconstructionLib.training.loop.config import digest, read_config
from SparseVolumeReconstructionLib.training.presets import merged, presets_of, shipped_presets

DIGESTS = {
    "alpha-gan-128-gpu": "0a37387b052e3e5d",
    "alpha-gan-64-cpu": "ad2512a26543bfe6",
    "alpha-gan-64-gpu": "57472f04ca33fbcb",
    "alpha-gan-64-tiny": "563ffe65555ab61d",
    "alpha-wgan-128-gpu": "9336026c0755899d",
    "alpha-wgan-64-cpu": "d8a735d6b16d3650",
    "alpha-wgan-64-gpu": "db7dbbb153c72c96",
    "alpha-wgan-64-tiny": "79ae5ba1ead368d6",
    "bruno-128-gpu": "1d7961deabde8e2f",
    "bruno-256-gpu": "2894e8582c13d10e",
    "bruno-64-cpu": "b5a12a11f0f058d2",
    "bruno-64-gpu": "c38080eeb0d18249",
    "bruno-64-tiny": "952b168092e28b52",
    "bruno-fetal-64-cpu": "064c2b99645af660",
    "bruno-fetal-64-gpu": "34d11e6822ef3117",
    "bruno-pose-128-gpu": "41660a7ad068bd14",
    "bruno-pose-256-gpu": "1b95c7877d7680c8",
    "bruno-pose-64-cpu": "2c47b9e8dd5cac2b",
    "bruno-pose-64-gpu": "ed8658782cef85b2",
    "bruno-pose-64-tiny": "f4f1729d5aaebe9e",
    "bruno-pose-fetal-64-cpu": "15b0037a5a50df56",
    "bruno-pose-fetal-64-gpu": "fdea3baa85e7d3ae",
    "cvae-128-gpu": "2f6b98d689567727",
    "cvae-256-gpu": "9e05b7729d275e37",
    "cvae-64-cpu": "eb0d3d06571b98db",
    "cvae-64-gpu": "9a8dce01c07f7fb1",
    "cvae-64-tiny": "ce816090f82ca7c6",
    "cvae-fetal-64-cpu": "689853efff7501ee",
    "cvae-fetal-64-gpu": "682b0307c725da13",
    "fetal-reader-cpu": "0f84474ae2947057",
    "fetal-reader-tiny": "8283d37d3ba49b1d",
    "flow-64-cpu": "0f8089da9cad7f9b",
    "flow-64-gpu": "6dcec162795005c6",
    "flow-64-tiny": "5ab8613cef2de1f5",
    "flow-ways-64-gpu": "074f4651de9599f1",
    "gqn-128-gpu": "9d4c1eea0474980d",
    "gqn-256-gpu": "71158e142665d28f",
    "gqn-64-cpu": "fbda0ac644663f1f",
    "gqn-64-gpu": "bb94d8591ea15583",
    "gqn-64-tiny": "0288c72f5e9bdffd",
    "gqn-fetal-64-cpu": "1c18c3c4349def4f",
    "gqn-fetal-64-gpu": "66276e7898736ef5",
    "mrngan-128-gpu": "8173aaa45e60b758",
    "mrngan-256-gpu": "8f6367011d4fe241",
    "mrngan-64-cpu": "7a953334ef08bd26",
    "mrngan-64-gpu": "539883dbab3faa6e",
    "mrngan-64-tiny": "791683afd73951ae",
    "head-reader-cpu": "b69280d2f95ba97b",
    "head-reader-tiny": "bb69a8b7955841d6",
    "refiner-64-cpu": "edcf2ccc5dec78b8",
    "refiner-64-gpu": "8b59b7f1f07101c2",
    "refiner-64-tiny": "a591dd4bc489b8ce",
    "pix2pix-1mm-gpu": "39af6c984c91cc2b",
    "pix2pix-2mm-cpu": "dd9be8145367ca8b",
    "pix2pix-2mm-flair-gpu": "81cbada4bae0d6ef",
    "pix2pix-4mm-gpu": "d3d3a8337b8da972",
    "pix2pix-2mm-flair-cpu": "495a0280f52f1059",
    "pix2pix-6mm-cpu": "ddbb73c33d6fb3d8",
    "pix2pix-tiny": "ec8f6ac66123ac39",
    "segmentation-64-cpu": "cf2a06d91573e319",
    "segmentation-64-tiny": "132ff91fb21e7729",
    "slice-vae-128-gpu": "e97ac9860efff4cb",
    "slice-vae-256-gpu": "b13989c3186a4d03",
    "slice-vae-64-cpu": "5dc561dedaa6ef9a",
    "slice-vae-64-gpu": "deb1e52770ebe486",
    "slice-vae-64-tiny": "44df22f833d39573",
    "slice-vae-fetal-64-cpu": "2b6722a874f0bc94",
    "slice-vae-fetal-64-gpu": "7976727578b99c87",
    "vae-gan-128-gpu": "d2aef7be5be5b4e9",
    "vae-gan-64-cpu": "463b2762d8805ca5",
    "vae-gan-64-gpu": "6a3bb7f43959d83e",
    "vae-gan-64-tiny": "e67886c3e26c944e",
    "volume-vae-128-gpu": "849353b49d025e55",
    "volume-vae-64-cpu": "e367c1cf03f98793",
    "volume-vae-64-gpu": "040c89ac32adeea0",
    "volume-vae-64-tiny": "0072671dad4c7010",
    "wgan-gp-128-gpu": "e0db8bb64521ed2d",
    "wgan-gp-64-cpu": "9bf6ae4ab021835b",
    "wgan-gp-64-gpu": "6f6f4e2b3125a25e",
    "wgan-gp-64-tiny": "f5ae2788d394487b",
    "xray-cnn-18-tiny": "970ef4cf72aa10b1",
    "xray-cnn-64-cpu": "a334a073f8253a5c",
    "xray-cnn-64-gpu": "09b1b23c1e490fba",
    "xray-cnn-256-gpu": "e49cd37edee36d6b",
}


def test_all_are_there_and_none_has_changed():
    assert {name: digest(read_config(name))[:16] for name in shipped_presets()} == DIGESTS


def test_every_trained_system_has_a_trial_of_each_variant():
    names = shipped_presets()
    for system in all_systems().values():
        trials = [
            next(name for name in (f"{variant}-64-tiny", f"{variant}-tiny") if name in names)
            for variant in system.variants
        ]
        content = [names[name] for name in trials]
        assert all(preset["system"] == system.id for preset in content)


def test_no_part_lies_idle():
    for file in {system.presets for system in all_systems().values() if system.variants}:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert {part for parts in content["presets"].values() for part in parts} == set(content["parts"])


def test_later_parts_win_and_sections_are_merged(tmp_path):
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 4}, "e": 5}
    assert merged(one, other) == {"a": 1, "b": {"c": 2, "d": 4}, "e": 5}
    assert one == {"a": 1, "b": {"c": 2, "d": 3}}, "nothing is changed in place"
    (tmp_path / "p.yaml").write_text("parts: {x: {a: 1, b: 1}, y: {a: 2}}\npresets: {p: [x, y], q: [y, x]}")
    assert presets_of(tmp_path / "p.yaml") == {"p": {"a": 2, "b": 1}, "q": {"a": 1, "b": 1}}


def test_names_that_are_not_shipped_are_refused():
    with pytest.raises(InputError, match="nor one of the shipped configurations .*gqn-fetal-64-cpu"):
        read_config("gqn-64")
