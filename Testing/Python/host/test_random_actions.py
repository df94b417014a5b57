"""Two hundred random actions of a user leave no exception, no orphan node, no dead process; and neither does the end of the panel."""

import gc
import weakref

STEPS, EXAMPLES = 50, 5


def test_random_actions(host_class, write_weights, tmp_path, monkeypatch):
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with host_class() as host:
        from host.desk import Desk
        from host.random_user import RandomUser
        from host.tiny_body import import_tiny

        import_tiny(write_weights, tmp_path)
        RandomUser.desk, RandomUser.folder = Desk(host), tmp_path
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
        run_state_machine_as_test(RandomUser, settings=rules)
        assert RandomUser.steps >= 200
