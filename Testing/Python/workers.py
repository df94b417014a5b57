"""How tests are dealt out where several processes run them (`pytest -n`), whatever `--dist` says."""

import pytest

TOGETHER = ("experiments",)  # rooms in which tests of several files share a trained model


def share_of(nodeid: str) -> str:
    """What is run by one process, in its order: a file, whose tests share what they start, or a room."""
    file = nodeid.split("::")[0]
    room, _, name = file.rpartition("/")
    return room if name and room.rpartition("/")[2] in TOGETHER else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """In the order of the rooms: the last ones are quick, so that nobody waits long at the end."""
    from xdist.scheduler import LoadScopeScheduling

    class Shares(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return share_of(nodeid)

    config.option.loadscopereorder = False
    return Shares(config, log)
