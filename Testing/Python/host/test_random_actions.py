"""Two hundred random actions of a user leave no exception, no orphan node, no dead process."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STEPS, EXAMPLES = 50, 4  # the first example of hypothesis is the plainest one: fifty times the same


@pytest.mark.skipif(os.name == "nt", reason="kills the computing process with a signal")
def test_random_actions(host_class, write_weights, tmp_path, monkeypatch):
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rules = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    with host_class() as host:
        import slicer

        from host import scene_rules
        from host.desk import Desk
        from host.random_user import RandomUser
        from host.tiny_body import import_tiny

        import_tiny(write_weights, tmp_path)
        RandomUser.desk, RandomUser.folder, RandomUser.steps = Desk(host), tmp_path, 0
        run_state_machine_as_test(RandomUser, settings=rules)
        assert RandomUser.steps >= STEPS * EXAMPLES
        pid, temporary = RandomUser.desk.panel.logic.client.pid, Path(slicer.app.temporaryPath)
        host.unload("SparseVolumeReconstruction")
        assert not scene_rules.is_alive(pid) and not list(temporary.glob("svr-*"))
