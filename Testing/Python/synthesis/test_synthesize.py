"""./run train synthesis and ./run synthesize: paired scans of small heads, from files to files."""

import json

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.data.bids import WRITTEN
from SparseVolumeReconstructionLib.experiments.lost_lesions import Looked
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_affine, write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.priors.stored import settings_tensor, settings_text, stored_state
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.synthesis.adaptation import own_scanner
from SparseVolumeReconstructionLib.synthesis.adaptation.greys import grey_quantiles
from SparseVolumeReconstructionLib.synthesis.adaptation.own_scanner import adapted_to
from SparseVolumeReconstructionLib.synthesis.checks import _axial, check_scans
from SparseVolumeReconstructionLib.synthesis.models import synthesis_models, weights_of
from SparseVolumeReconstructionLib.synthesis.pix2pix.network import Generator
from SparseVolumeReconstructionLib.synthesis.pix2pix.synthesiser import Synthesiser
from SparseVolumeReconstructionLib.synthesis.pix2pix.task import SynthesisConfig
from SparseVolumeReconstructionLib.synthesis.pix2pix.train import _parts
from SparseVolumeReconstructionLib.synthesis.run import laid_on_first
from SparseVolumeReconstructionLib.synthesis.scans import Field, _apart, load_visits, shown_on, visits
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.zoo.weights import read_tensors, save_weights, sha256, stored_card

from .conftest import visit, with_a_spot

pytestmark = pytest.mark.slow


@pytest.fixture
def made(model, tmp_path, capsys):
    """made(CONTRAST=FILE, ...) runs the command: exit code, folder of the result, and what was said."""

    def run(*inputs, into="out", image_format="nrrd"):
        words = [word for one in inputs for word in ("--input", str(one))]
        words += ["--format", image_format, "--output", str(tmp_path / into)]
        code = main(["synthesize", "--model", str(model), *words])
        return code, tmp_path / into, capsys.readouterr()

    return run


def test_the_missing_contrast_on_the_grid_of_the_scan(model, made, visits_dir, tmp_path):
    """Bright where the truth is bright, though the scan is dark there; every voxel is said to be inferred."""
    truth = visit(20)
    write_volume(truth["FLAIR"], tmp_path / "flair.nii.gz")
    code, folder, said = made(f"FLAIR={tmp_path / 'flair.nii.gz'}")
    assert code == 0 and str(folder / "mean.nrrd") in said.out
    mean, std = (read_volume(folder / f"{name}.nrrd") for name in ("mean", "std"))
    inside = truth["T1w"].array > 0
    assert mean.grid.same_as(truth["T1w"].grid) and std.array[inside].min() >= 0
    assert np.corrcoef(mean.array[inside], truth["T1w"].array[inside])[0, 1] > 0.5
    assert np.corrcoef(truth["FLAIR"].array[inside], truth["T1w"].array[inside])[0, 1] < 0
    result = json.loads((folder / "result.json").read_text())
    assert result["made"] == "T1w" and "inferred" in result and "Not for diagnosis" in result["notice"]
    assert result["model"]["sha256"] and result["moved_mm"] == {} and result["lost"]["places"] == []
    card = Synthesiser.load(model, torch.device("cpu")).card
    assert card.quality["heads"] == len(card.split["test"]) == 2 and card.title == "T1w from FLAIR"
    assert not {"sub-08", "sub-09"} & {name for names in card.split.values() for name in names}


def test_what_stands_out_and_is_not_made_is_told_and_marked_in_dicom(blind, tmp_path, capsys):
    write_volume(with_a_spot(20), tmp_path / "flair.nii.gz")
    words = ["--model", str(blind), "--input", f"FLAIR={tmp_path / 'flair.nii.gz'}", "--format", "dicom"]
    assert main(["synthesize", *words, "--output", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dicom", "result.json"}
    files = {path.name for path in (tmp_path / "out" / "dicom").iterdir()}
    assert files == {"mean", "std", "std_map.dcm", "lost.dcm"}
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert 5 < result["lost"]["places"][0]["ml"] <= result["lost"]["ml"] < 12  # of 27 voxels of 0.2 ml
    looked = Looked.at(with_a_spot(20), Synthesiser.load(blind, torch.device("cpu")))
    assert result["lost"] == looked.lost.facts, "not what experiments measure"
    std = read_volume(tmp_path / "out" / "dicom" / "std").array
    assert std.max() / np.median(std[std > 0]) == pytest.approx(1.43, abs=0.15), "as sure as elsewhere"
    assert any("brighter in FLAIR than what was made tells" in text for text in result["warnings"])
    assert "lesions there may be missing in the T1w" in capsys.readouterr().err


def test_a_head_that_is_turned_and_moved_gives_the_same(model):
    """The box follows the head; the same scan elsewhere in the scanner has the same result there."""
    network, scan = Synthesiser.load(model, torch.device("cpu")), visit(21)["FLAIR"]
    matrix = scan.grid.ijk_to_ras.copy()
    matrix[:3, 3] += [80, -40, 30]
    there = Volume(scan.array, Grid(scan.grid.shape_kji, matrix))
    one, other = (network({"flair": each}, each.grid).mean.array for each in (scan, there))
    assert np.abs(one - other).max() < 1e-3


def test_scans_that_lie_elsewhere_are_registered_and_it_is_said():
    """A shift of 8 mm and a turn of 5 degrees between both is found to 1 mm."""
    scans, told = visit(22), []
    angle = np.radians(5.0)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = [8, 0, 0]
    moved = resample(scans["T1w"], scans["T1w"].grid, matrix)
    laid, shifts = laid_on_first({"flair": scans["FLAIR"], "t1": moved}, told.append)
    assert shifts["t1"] == pytest.approx(8, abs=1.5) and len(told) == 1 and "registered" in told[0]
    inside = scans["T1w"].array > 0
    before, after = (np.abs(v.array - scans["T1w"].array)[inside].mean() for v in (moved, laid["t1"]))
    assert after < 0.5 * before
    again, shifts = laid_on_first({"flair": scans["FLAIR"], "t1": scans["T1w"]}, told.append)
    assert again["t1"] is scans["T1w"] and len(told) == 1 and shifts["t1"] == 0


def test_only_whole_visits_are_learned_from(visits_dir):
    """A visit without one contrast is not there, a damaged one is told, nobody at all is an error."""
    assert "sub-08" not in visits(visits_dir, ["flair", "t1"]) and "sub-09" in visits(
        visits_dir, ["flair", "t1"]
    )
    told, progress = [], Progress()
    progress.warn = told.append
    scans = load_visits(visits_dir, ["flair", "t1"], Field((20, 20, 20), 6.0), progress)
    assert len(scans) == 8 and "sub-09 is left out" in told[0]
    assert (
        scans["sub-00"].shape == (2, 20, 20, 20) and 0 <= scans["sub-00"].min() < scans["sub-00"].max() <= 1
    )
    with pytest.raises(InputError, match="nobody was scanned in t2 and t1"):
        visits(visits_dir, ["t2", "t1"])


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("T2={scan}", "tiny makes T1w of FLAIR; got T2w: FLAIR is missing"),
        ("CT={scan}", "expected CONTRAST=FILE with one of T1w, T2w, FLAIR, PDw"),
        ("FLAIR", "expected CONTRAST=FILE"),
        ("FLAIR={large}", "the model sees 120 x 120 x 120 mm"),
        ("FLAIR={missing}", "no such file"),
    ],
)
def test_wrong_input_is_one_line(made, tmp_path, word, why):
    """And nothing is written."""
    scan = visit(23)["FLAIR"]
    write_volume(scan, tmp_path / "scan.nrrd")
    matrix = scan.grid.ijk_to_ras @ np.diag([3.0, 3.0, 3.0, 1.0])
    write_volume(Volume(scan.array, Grid(scan.grid.shape_kji, matrix)), tmp_path / "large.nrrd")
    text = word.format(**{name: tmp_path / f"{name}.nrrd" for name in ("scan", "large", "missing")})
    code, folder, said = made(text)
    assert code == 2 and why in said.err and len(said.err.strip().splitlines()) == 1 and not folder.exists()


def test_the_result_lies_where_the_first_input_does(model, tmp_path):
    """In whatever order the network takes its inputs."""
    tensors = read_tensors(model)
    settings = SynthesisConfig.model_validate_json(settings_text(tensors["settings"]))
    settings = settings.model_copy(update={"inputs": ("flair", "t2")})
    state = stored_state(Generator(2, settings).state_dict())
    others = {"settings": settings_tensor(settings), "error_factor": tensors["error_factor"]}
    save_weights({**state, **others}, stored_card(model), tmp_path / "two.safetensors")
    t2, flair = visit(23)["T1w"], visit(23)["FLAIR"]
    matrix = flair.grid.ijk_to_ras.copy()
    matrix[0, 3] += 12
    write_volume(t2, tmp_path / "t2.nrrd")
    write_volume(Volume(flair.array, Grid(flair.grid.shape_kji, matrix)), tmp_path / "flair.nrrd")
    words = ["--input", f"T2={tmp_path / 't2.nrrd'}", "--input", f"FLAIR={tmp_path / 'flair.nrrd'}"]
    words += ["--model", str(tmp_path / "two.safetensors"), "--output", str(tmp_path / "out")]
    assert main(["synthesize", *words]) == 0
    mean = read_volume(tmp_path / "out" / "mean.nrrd")
    moved = json.loads((tmp_path / "out" / "result.json").read_text())["moved_mm"]
    assert mean.grid.same_as(t2.grid) and moved["flair"] == pytest.approx(12, abs=1.5)
    same = ((mean.array > 0) == (t2.array > 0)).mean()
    assert same > 0.99, same


def test_one_scan_too_many_is_said(made, tmp_path):
    """A network takes what it learned of, no more."""
    for name, scan in visit(23).items():
        write_volume(scan, tmp_path / f"{name}.nrrd")
    code, _, said = made(f"FLAIR={tmp_path / 'FLAIR.nrrd'}", f"T1={tmp_path / 'T1w.nrrd'}")
    assert code == 2 and "got FLAIR, T1w: that is too much" in said.err


def test_a_head_that_is_larger_than_the_box_is_made_in_tiles(model):
    """And no voxel of it is left out."""
    network, scan = Synthesiser.load(model, torch.device("cpu")), visit(21)["FLAIR"]
    matrix = scan.grid.ijk_to_ras @ np.diag([1.9, 1.9, 1.9, 1.0])
    large = Volume(scan.array, Grid(scan.grid.shape_kji, matrix))
    assert network.told(scan).startswith("8 tiles, about 0.5 GB") and network.told(large)[:2] == "18"
    done = []
    made = network({"flair": large}, step=done.append).mean
    assert len(done) == 18 and min(made.grid.shape_kji) > 20
    assert np.array_equal(made.array > 0, shown_on(large, made.grid))


def test_thick_slices_are_told_and_brains_are_looked_at(model):
    """Only a model of brains knows what whole heads and contrasts look like."""
    card, told = Synthesiser.load(model, torch.device("cpu")).card, []
    scan = visit(21)["FLAIR"]
    check_scans({"flair": scan}, card, 6.0, told.append)
    check_scans({"flair": scan}, card, 2.0, told.append)
    assert len(told) == 1 and "FLAIR: slices are 6.0 mm apart; the model learned of voxels of 2 mm" in told[0]
    gaps = Volume(scan.array * (np.arange(len(scan.array)) % 4 == 1)[:, None, None], scan.grid)
    assert len(_axial(gaps)) > 1, "slices without anything are not looked at"


def test_whole_heads_and_other_contrasts_than_named_are_told(model, shared_data):
    """T2w named FLAIR is told, scans named as they are pass, and a whole head is refused."""
    card = Synthesiser.load(model, torch.device("cpu")).card.model_copy(update={"anatomy": "brain"})
    folder, told = shared_data / "multimodal_t1_t2_flair", []
    scans = {name: read_volume(folder / f"ljubljana_07_{WRITTEN[name]}.nii.gz") for name in ("t2", "flair")}
    check_scans(scans, card, 2.0, told.append)
    assert not told
    check_scans({"flair": scans["t2"]}, card, 2.0, told.append)
    assert len(told) == 1 and "FLAIR: its grey values are T2w-like" in told[0]
    head = read_volume(shared_data / "heads_t1_ixi" / "IXI013_T1w.nii.gz")
    with pytest.raises(InputError, match="shows a whole head; the model knows skull-stripped brains"):
        check_scans({"t1": head}, card, 2.0, told.append)


def test_visits_whose_scans_lie_apart_are_not_learned_from():
    """Their grey values tell nothing of each other."""
    found = {f"sub-{n}": torch.as_tensor(np.array([v.array for v in visit(n).values()])) for n in range(5)}
    assert not _apart(found)
    found["sub-4"][1] = found["sub-4"][1].roll(9, 2)
    assert _apart(found) == ["sub-4"]


def test_the_network_of_the_extension_is_known_by_its_id(capsys):
    """Its card says whose data, licence, split and quality; what it makes of a scan of 1 mm is 0 outside."""
    (entry,) = synthesis_models()
    card = entry.card
    assert card.id == "brain-flair-to-t1" and entry.bytes < 5e6
    assert entry.sha256 == sha256(weights_of(card.id)) and stored_card(weights_of(card.id)) == card
    assert "SBIA" in card.licence and card.split["test"] and card.time_and_memory and card.limits
    assert card.quality["SSIM in the head"] > 0.7 and 0.88 < card.quality["90 % intervals hold"] < 0.92
    grid = Grid.centred((90, 90, 90), 1.0)
    reach = np.linalg.norm(grid.points_ras().reshape(90, 90, 90, 3), axis=-1)
    scan = np.where(reach < 30, 0.6 + 0.2 * np.sin(reach / 3), 0).astype(np.float32)
    scan[45, 45, 45] = 0  # as dark fluid may be
    network = Synthesiser.load(weights_of(card.id), torch.device("cpu"))
    made = network({"flair": Volume(scan, grid)}, grid)
    for each in (made.mean.array, made.std.array):
        assert not each[reach > 33].any() and each[reach < 28].min() > 0
    assert main(["models", "list"]) == 0 and card.id in capsys.readouterr().out


def test_the_documented_command_chooses_the_people_of_the_card():
    """Given those who were fitted and tested, as is documented, the same two choose the best step."""
    (entry,) = synthesis_models()
    config, split = read_config(entry.card.training["config"]), entry.card.split
    given = {"fit": [*split["fit"], *split["validation"], "siteA_sub-15"], "test": split["test"]}
    names = [name for people in split.values() for name in people]
    assert _parts(names, given, config) == split


def test_an_unknown_model_is_refused_with_those_that_are_known():
    with pytest.raises(InputError, match='no synthesis network "brain-t9"; known: '):
        weights_of("brain-t9")


def test_a_network_is_carried_to_another_scanner(model, visits_dir, tmp_path):
    """From scans without the contrast that is made; the card names them, and the result differs."""
    other = tmp_path / "other"
    other.mkdir()
    for seed in (30, 31):
        scan = visit(seed)["FLAIR"]
        write_volume(Volume(0.7 * scan.array**0.5, scan.grid), other / f"sub-{seed}_FLAIR.nrrd")
    words = ["--cohort", str(visits_dir), "--config", "pix2pix-tiny", "--adapt-to", str(other)]
    assert main(["train", "synthesis", *words, "--out", str(tmp_path / "adapted")]) == 0
    networks = [
        Synthesiser.load(path, torch.device("cpu"))
        for path in (model, tmp_path / "adapted" / "adapted.safetensors")
    ]
    assert networks[1].card.split["adapted to"] == ["sub-30", "sub-31"]
    scan = read_volume(other / "sub-30_FLAIR.nrrd")
    one, adapted = (network({"flair": scan}).mean.array for network in networks)
    assert np.abs(one - adapted).max() > 0.01


def test_a_network_is_carried_to_ones_own_scanner(model, tmp_path, monkeypatch):
    """By scans of other people: it makes of a head what it makes of its scan at home; the card says how."""
    for limit in ("_CLEARLY", "_UNLIKE"):  # what a tiny network makes has grey values and sides of its own
        monkeypatch.setattr(own_scanner, limit, 2.0)
    folder = tmp_path / "other"
    folder.mkdir()
    for seed in (30, 31, 32, 33, 20):
        scan = visit(seed)["FLAIR"]
        own = Volume(np.where(scan.array > 0, 0.55 + 0.3 * scan.array, 0).astype(np.float32), scan.grid)
        write_volume(own, (tmp_path if seed == 20 else folder) / f"sub-{seed}_FLAIR.nrrd")
    given = ["--input", f"FLAIR={tmp_path / 'sub-20_FLAIR.nrrd'}"]
    made = {}
    for name, words in {
        "plain": ["--model", str(model)],
        "adapted": ["--model", str(model), "--adapt", str(folder)],
        "again": ["--model", str(tmp_path / "adapted" / "adapted.safetensors")],
    }.items():
        assert main(["synthesize", *words, *given, "--output", str(tmp_path / name)]) == 0
        made[name] = read_volume(tmp_path / name / "mean.nrrd").array
    scan = visit(20)["FLAIR"]
    own = Synthesiser.load(model, torch.device("cpu"))({"flair": scan}, scan.grid).mean.array
    off = {name: np.abs(each - own)[own > 0].mean() for name, each in made.items()}
    assert off["adapted"] < 0.4 * off["plain"] and np.array_equal(made["again"], made["adapted"])
    card = stored_card(tmp_path / "adapted" / "adapted.safetensors")
    assert card.base and card.base.sha256 == sha256(model) and card.id == "tiny-adapted"
    assert card.split["adapted to"] == ["sub-30", "sub-31", "sub-32", "sub-33"]
    said = json.loads((tmp_path / "adapted" / "result.json").read_text())["adapted to"]
    assert said["used"] and {len(pair) for pair in said["before and after"].values()} == {2}
    assert said["scans"] == {"FLAIR": 4}
    assert not (tmp_path / "plain" / "adapted.safetensors").exists()


def test_an_adaptation_that_makes_nothing_better_is_not_used(model, visits_dir):
    """The scans of those who were learned from, in a network whose real grey values are what it makes."""
    network = Synthesiser.load(model, torch.device("cpu"))
    scans = [visit(seed)["FLAIR"] for seed in range(4)]
    made = [torch.as_tensor(network({"flair": each}).mean.array) for each in scans]
    network.greys = torch.stack([network.greys[0] * 0.6, grey_quantiles(torch.stack(made))])
    told = []
    same, said = adapted_to(network, visits_dir, Progress(), told.append)
    assert same is network and not said["used"] and any("used as it is" in text for text in told)


def test_an_adaptation_that_makes_a_mirrored_head_another_one_is_not_used(model, tmp_path, monkeypatch):
    """Told with both numbers, which are those of a network that is as it was and of one that is adapted."""
    monkeypatch.setattr(own_scanner, "_CLEARLY", 2.0)
    monkeypatch.setattr(own_scanner, "_UNLIKE", 0.0)
    for seed in range(30, 33):
        scan = visit(seed)["FLAIR"]
        write_volume(Volume(scan.array**0.5, scan.grid), tmp_path / f"sub-{seed}_FLAIR.nrrd")
    told = []
    network = Synthesiser.load(model, torch.device("cpu"))
    same, said = adapted_to(network, tmp_path, Progress(), told.append)
    before, after = said["before and after"]["unlike mirror images"]
    assert same is network and not said["used"] and 0 < before != after > 0
    assert f"{before:.3f} deviations before, {after:.3f} after" in told[-1]


def test_a_network_is_not_adapted_to_the_scanner_that_it_learned_of(model, tmp_path):
    """Other people of it, whose heads were cut out with a dark rim around them; both are told."""
    for seed in range(30, 34):
        scan = visit(seed)["FLAIR"]
        rim = binary_dilation(scan.array > 0, iterations=1) & (scan.array == 0)
        write_volume(Volume(np.where(rim, 0.1, scan.array), scan.grid), tmp_path / f"sub-{seed}_FLAIR.nrrd")
    told = []
    network = Synthesiser.load(model, torch.device("cpu"))
    same, said = adapted_to(network, tmp_path, Progress(), told.append)
    assert same is network and not said["used"] and not said["before and after"]
    assert said["grey values of the scans off"]["FLAIR"] < 0.05 and "nothing to adapt" in told[-1]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"sub-1_T1w": 4, "sub-2_T1w": 4}, "0 usable scans in FLAIR; expected at least 3"),
        ({"sub-1_FLAIR": 4, "sub-2_FLAIR": 5}, "2 usable scans in FLAIR"),
        ({f"sub-{n}_FLAIR": 4 for n in range(2)} | {"sub-9_FLAIR": None}, "sub-9_FLAIR is left out"),
        (
            {f"sub-{n}_FLAIR": 4 for n in range(2)} | {"mean": 4},
            "FLAIR: mean.nrrd was made by",
        ),
        ({}, "holds no volume"),
    ],
)
def test_folders_that_a_network_cannot_be_adapted_to(model, tmp_path, capsys, files, why):
    """Other contrasts, too few, damaged and inferred ones; nothing is written."""
    folder = tmp_path / "others"
    folder.mkdir()
    for name, seed in files.items():
        if seed is None:
            (folder / f"{name}.nrrd").write_bytes(b"no image")
        else:
            write_volume(visit(seed)["FLAIR"], folder / f"{name}.nrrd")
    if "mean" in files:
        (folder / "result.json").write_text("{}")
    write_volume(visit(20)["FLAIR"], tmp_path / "scan.nrrd")
    words = ["--model", str(model), "--input", f"FLAIR={tmp_path / 'scan.nrrd'}", "--adapt", str(folder)]
    assert main(["synthesize", *words, "--output", str(tmp_path / "out")]) == 2
    assert why in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_what_was_inferred_is_not_converted_again(made, visits_dir):
    """The result of a conversion is no scan, wherever it is copied to with its notes."""
    code, folder, _ = made(f"FLAIR={visits_dir / 'sub-00_FLAIR.nrrd'}")
    assert code == 0
    code, again, said = made(f"FLAIR={folder / 'mean.nrrd'}", into="again")
    assert code == 2 and "FLAIR: mean.nrrd was made by this program, not scanned" in said.err
    assert len(said.err.strip().splitlines()) == 1 and not again.exists()


def test_other_files_are_no_network(tmp_path, capsys):
    """A file of another kind is refused with how a network is made."""
    write_affine(np.eye(4), tmp_path / "frame.h5")
    words = ["--input", "FLAIR=x.nrrd", "--output", str(tmp_path / "out")]
    assert main(["synthesize", "--model", str(tmp_path / "frame.h5"), *words]) == 2
    assert "./run train synthesis makes one" in capsys.readouterr().err
