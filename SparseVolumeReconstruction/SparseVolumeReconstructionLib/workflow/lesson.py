"""A lesson as a teacher makes it, saves it and shares it: text, slices to give, slices to ask for.

Plain data, and never trusted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..geometry import InputError, file_errors
from ..mrml.i18n import _

LESSON_BYTES, LINK_CHARACTERS = 64_000, 6_000
_REACH_MM = 200.0  # planes further from the origin meet no head
_FORMAT = "sparse-volume-lesson"


class Strict(BaseModel):
    """Plain data of which nothing is taken that is not expected."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class LessonPlane(Strict):
    """A plane in the model's space: the points x with normal . x = offset_mm, in RAS mm.

    The normal has length 1.
    """

    normal: tuple[float, float, float]
    offset_mm: float = Field(ge=-_REACH_MM, le=_REACH_MM)

    @field_validator("normal")
    @classmethod
    def _has_length_one(cls, normal: tuple) -> tuple:
        if abs(float(np.linalg.norm(normal)) - 1) > 1e-3:
            raise ValueError("expected a direction of length 1")
        return normal

    @classmethod
    def of(cls, plane: np.ndarray) -> LessonPlane:
        """From a 4x4 SliceToRAS in the model's space (mm), rounded to what nobody sees.

        Raises InputError far from any head.
        """
        normal = plane[:3, 2] / np.linalg.norm(plane[:3, 2])
        offset = float(normal @ plane[:3, 3])
        if not abs(offset) <= _REACH_MM:
            raise InputError(
                _("the view is {mm:.0f} mm from the middle of the head; scroll back to it.").format(
                    mm=abs(offset)
                )
            )
        return cls(normal=tuple(round(float(x), 5) for x in normal), offset_mm=round(offset, 2))

    def matrix(self, middle: np.ndarray) -> np.ndarray:
        """4x4 SliceToRAS (mm), its origin the point of the plane that is nearest to `middle` (3,)."""
        normal = np.array(self.normal) / np.linalg.norm(self.normal)
        return plane_through(middle + normal * (self.offset_mm - normal @ middle), normal)


def plane_through(point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """4x4 SliceToRAS (mm) of the plane through a point (3,) with a normal (3,) of any length."""
    matrix, normal = np.eye(4), normal / np.linalg.norm(normal)
    first = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = first - (first @ normal) * normal
    first /= np.linalg.norm(first)
    matrix[:3, :3] = np.stack([first, np.cross(normal, first), normal], 1)
    matrix[:3, 3] = point
    return matrix


class GiveSlices(Strict):
    """The student is given slices of the patient, and sees how mean and uncertainty change.

    None: the anatomy as it is known so far.
    """

    kind: Literal["slices"] = "slices"
    text: str = Field(default="", max_length=2000)
    planes: list[LessonPlane] = Field(default=[], max_length=12)


class AskSlice(Strict):
    """The student is asked where a slice of the patient lies."""

    kind: Literal["question"] = "question"
    text: str = Field(default="", max_length=2000)
    plane: LessonPlane


class PlanSlices(Strict):
    """The student plans up to so many slices on a scout, scans them, and reads how good the plan was.

    Attributes:
        count: how many slices can be scanned.
        thickness_mm: of a slice.
        noise: standard deviation of a pixel, as a share of white.
    """

    kind: Literal["plan"] = "plan"
    text: str = Field(default="", max_length=2000)
    count: int = Field(default=3, ge=1, le=5)
    thickness_mm: float = Field(default=4.0, ge=1, le=10)
    noise: float = Field(default=0.03, ge=0, le=0.3)


class Lesson(Strict):
    """All that a lesson is.

    Planes lie in the space of the model `prior`.

    Attributes:
        patient: "drawn": a person whom the model makes up from `seed`; "sample": the sample of four slices
            that comes with the program; "scan": the scan that the student has loaded.
    """

    format: Literal["sparse-volume-lesson"] = _FORMAT
    version: Literal[1] = 1
    title: str = Field(min_length=1, max_length=120)
    text: str = Field(default="", max_length=4000)
    prior: str = Field(default="brain-t1", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    patient: Literal["drawn", "sample", "scan"] = "drawn"
    seed: int = Field(default=0, ge=0, le=999_999)
    steps: list[Annotated[GiveSlices | AskSlice | PlanSlices, Field(discriminator="kind")]] = Field(
        default=[], max_length=40
    )

    @model_validator(mode="after")
    def _can_be_planned(self) -> Lesson:
        if self.patient == "sample" and self.plans:
            raise ValueError("slices of the sample are there already; plan those of a made-up person")
        return self

    @property
    def questions(self) -> list[int]:
        """Numbers of the steps, from 0, that ask for a slice."""
        return self._of_kind("question")

    @property
    def plans(self) -> list[int]:
        """Numbers of the steps, from 0, in which slices are planned."""
        return self._of_kind("plan")

    @property
    def digest(self) -> str:
        """SHA-256 of its content: two files are the same lesson when this is the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def _of_kind(self, kind: str) -> list[int]:
        return [number for number, step in enumerate(self.steps) if step.kind == kind]


def read(kind: type[BaseModel], data: str | bytes, what: str) -> BaseModel:
    """JSON that somebody sent, as a Lesson or Results.

    Args:
        kind: Lesson or Results.
        data: at most LESSON_BYTES.
        what: begins the error.

    Raises:
        InputError: one line that says what is wrong.
    """
    if len(data) > LESSON_BYTES:
        raise InputError(
            _("{what}: larger than {n} kB; no lesson is so long.").format(what=what, n=LESSON_BYTES // 1000)
        )
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"]) or _("the file")
        if first["type"] == "json_invalid":
            raise InputError(
                _("{what}: no JSON; expected a file that was saved by this program.").format(what=what)
            ) from None
        raise InputError(f"{what}: {place}: {' '.join(first['msg'].split())[:160]}.") from None


def read_file(path: Path) -> Lesson:
    """The lesson of a file. Raises InputError."""
    with file_errors(_("{path}: cannot be read").format(path=path)), open(path, "rb") as file:
        return read(Lesson, file.read(LESSON_BYTES + 1), path.name)


def write(content: BaseModel) -> str:
    """A Lesson or Results as the text of a file."""
    return content.model_dump_json(indent=1) + "\n"


def to_link(lesson: Lesson) -> str:
    """A lesson as text for an address: compressed JSON in base64url.

    Raises:
        InputError: where it is too long for a link.
    """
    packed = zlib.compress(lesson.model_dump_json().encode(), 9)
    text = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
    if len(text) > LINK_CHARACTERS:
        raise InputError(_("the lesson is too long for a link; save it as a file and hand that out."))
    return text


def from_link(text: str) -> Lesson:
    """The lesson of such a text. Raises InputError."""
    damaged = InputError(_("the link to the lesson is damaged; copy the whole of it, or ask for the file."))
    if len(text) > LINK_CHARACTERS:
        raise damaged
    try:
        packed = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, LESSON_BYTES + 1)  # a few bytes may unpack into gigabytes
        if not unpacker.eof and len(data) <= LESSON_BYTES:
            raise damaged
    except (UnicodeEncodeError, binascii.Error, ValueError, zlib.error):
        raise damaged from None
    return read(Lesson, data, _("the lesson of the link"))
