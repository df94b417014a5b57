"""What the segmentation network learns: to name the structures in images that are made anew in every step."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from monai.networks.nets import BasicUNet
from pydantic import Field
from torch import nn

from ...data.stored import Volumes
from ...geometry import InputError
from ...priors.stored import stored_state
from ..loop.config import Count, Section, TrainConfig, validated
from ..loop.task import Task
from .structures import CLASSES, NAMES
from .synthesis import SynthesisConfig, synthesise

_VALIDATION_IMAGES = 2


class SegmentationConfig(Section):
    """The segmentation network, what it sees, and of what it learns.

    features: channels of the U-Net at each of its five sizes, and of its end. window: pixels of the image
    along A and R, around its middle, that the network sees; all else is background. synthesis: see
    SynthesisConfig.
    """

    features: tuple[Count, Count, Count, Count, Count, Count] = (16, 16, 32, 64, 128, 16)
    window: tuple[Count, Count] = (64, 64)
    synthesis: SynthesisConfig = Field(SynthesisConfig())


class SegmentationTask(Task):
    """See training.loop.task.Task.

    Volumes are label maps (N, K, H, W), codes uint8, on a grid finer than that of the images.
    """

    networks: WindowedUNet

    def __init__(self, config: TrainConfig):
        self.config = config
        self._config = validated(SegmentationConfig, config.model, "model")
        reduce = self._config.synthesis.reduce
        alone = config.augmentation
        if config.data.size % reduce:
            raise InputError(
                f"data: size: {config.data.size}; expected a multiple of model.synthesis.reduce, {reduce}."
            )
        if alone.deformation_mm or alone.gamma or alone.bias or alone.noise:
            raise InputError(
                "augmentation: label maps are changed by model.synthesis alone; set all but mirror to 0."
            )
        if max(self._config.window) > config.data.size // reduce:
            raise InputError(
                f"model: window: {self._config.window}; the images have {config.data.size // reduce} x "
                f"{config.data.size // reduce} pixels."
            )
        self.networks = WindowedUNet(self._config.features, self._config.window)
        self._dice = DiceLoss(softmax=True, to_onehot_y=True)

    @property
    def reduce(self) -> int:
        """Pixels of the label map along R and A that become one of the image."""
        return self._config.synthesis.reduce

    def batch(self, volumes: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """A random image of each label map (B, K, H, W), perhaps mirrored, and its classes."""
        if self.config.augmentation.mirror:
            swap = torch.rand(len(volumes), generator=generator, device=volumes.device) < 0.5
            volumes = torch.where(swap[:, None, None, None], volumes.flip(-1), volumes)
        # Drawn and left: the same seed gives the networks it gave when label maps were treated like images.
        torch.randn(len(volumes), generator=generator, device=volumes.device)
        images, classes = synthesise(volumes.long(), self._config.synthesis, generator)
        return {"images": images, "classes": classes}

    def loss(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """One minus the mean soft Dice over classes, plus the cross-entropy, of images (B, K, H, W).

        A voxel weighs one over the square root of its class' size. The slice VAE paper has the Dice loss
        alone: by that, after 200 steps the background was still taken for a small structure. With equal
        weights accumbens and third ventricle were not found after 2000.
        """
        scores = self.networks.scores(batch["images"]).float()
        classes = central(batch["classes"], self._config.window)
        weights = (classes.flatten().bincount(minlength=CLASSES) + 1.0).rsqrt()
        return self._dice(scores, classes[:, None]) + nn.functional.cross_entropy(
            scores, classes, weights
        ), {}

    @torch.no_grad()
    def validate(self, volumes: Volumes, generator: torch.Generator) -> dict[str, float]:
        """One minus the mean Dice over structures, and the Dice of each.

        On images of label maps (N, K, H, W).
        """
        scores = self.measure(volumes[:], generator, _VALIDATION_IMAGES)
        mean = scores.nanmean(0)
        return {
            "score": 1 - float(mean.nanmean()),
            **{f"dice/{name}": float(dice) for name, dice in zip(NAMES, mean, strict=True)},
        }

    @torch.no_grad()
    def measure(self, volumes: torch.Tensor, generator: torch.Generator, images: int) -> torch.Tensor:
        """Dice of every structure on `images` images of each label map, (N * images, 15).

        Args:
            volumes: label maps (N, K, H, W), codes uint8, on the device of the networks.
            generator: on the same device; makes the images.
            images: number per label map.

        Returns:
            Nan where a structure is neither there nor found.
        """
        found = []
        for volume in volumes.repeat_interleave(images, 0):
            image, classes = synthesise(volume[None].long(), self._config.synthesis, generator)
            found.append(dice(self.networks(image)[0], classes[0]))
        return torch.stack(found)

    def weights(self, volumes: Volumes) -> dict[str, torch.Tensor]:
        """The network as `Segmenter` reads it; nothing depends on the volumes (N, K, H, W)."""
        return {
            **stored_state(self.networks.state_dict()),
            "features": torch.tensor(self._config.features),
            "window": torch.tensor(self._config.window),
        }


class WindowedUNet(nn.Module):
    """A U-Net that looks at the middle of every axial slice.

    It is MONAI's BasicUNet, after Falk et al., Nature Methods 16, 2019.

    Args:
        features: channels at each of its five sizes, and of its end.
        window: pixels along A and R, around the middle, that it sees; all else is background.
    """

    def __init__(self, features: tuple[int, ...], window: tuple[int, int]):
        super().__init__()
        self._window = window
        self.unet = BasicUNet(3, 1, CLASSES, features)

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of the classes in the window, (B, 16, K, *window), of images (B, K, H, W)."""
        return self.unet(central(images, self._window)[:, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Classes 0 to 15, (B, K, H, W) int64, of images (B, K, H, W), [0, 1]."""
        classes = torch.zeros(images.shape, dtype=torch.int64, device=images.device)
        central(classes, self._window)[:] = self.scores(images).argmax(1)
        return classes


def central(values: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:
    """The middle of the last two axes of values (N, H, W), or with more axes before, as a view.

    Args:
        window: sizes of the last two axes that are left, at most those of `values`.
    """
    for axis, size in zip((-2, -1), window, strict=True):
        values = values.narrow(axis, (values.shape[axis] - size) // 2, size)
    return values


def dice(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Dice coefficient of each structure between two arrays of classes, (15,); nan where neither has it.

    Dice, Ecology 26, 1945.

    Args:
        one, other: integers 0 to 15, of one shape; 0 is none of the structures.
    """
    counts = [
        ((one == n).sum(), (other == n).sum(), ((one == n) & (other == n)).sum()) for n in range(1, CLASSES)
    ]
    return torch.stack([2 * both / (a + b) for a, b, both in counts])
