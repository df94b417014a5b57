"""The record of a run: log.csv and TensorBoard, from the first process alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ...geometry.io import write_text

_COLUMNS = ("step", "name", "value")


class Log:
    """Rows (step, name, value) in log.csv of a folder and scalars for TensorBoard.

    Args:
        folder: of the run.
        step: the last one to keep of an earlier run: what follows it is done again.
    """

    def __init__(self, folder: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "log.csv"
        kept = [row for row in _rows(self._path) if int(row[0]) <= step]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *kept])
        write_text(text.getvalue(), self._path)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append the values of a step.

        Args:
            values: {name: number}.
        """
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [step, name, repr(value)] for name, value in values.items()
            )
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        self._board.close()


def _rows(path: Path) -> list[list[str]]:
    """The whole rows of a log; a line cut off by a killed process is dropped."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    rows = list(csv.reader(line for line in lines if line.endswith("\n")))[1:]
    return [row for row in rows if len(row) == len(_COLUMNS) and row[0].isdigit()]
