"""The contracts that everything is built on are typed, strictly."""

import subprocess


def check(python, folder, *paths):
    """Run mypy with the repository's settings; returns its exit code and what it says."""
    done = subprocess.run(
        [python, "-m", "mypy", *paths], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_observation_solvers_and_the_contract_of_priors_have_no_type_error(python, repository, tmp_path):
    code, said = check(python, repository)
    assert code == 0, said
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from SparseVolumeReconstructionLib.priors.base import Prior\n\n\n"
        "def f(prior: Prior) -> int:\n    return prior.protocol_grid\n"
    )
    code, said = check(python, repository, str(wrong))
    assert code == 1 and '"Prior" has no attribute "protocol_grid"' in said
