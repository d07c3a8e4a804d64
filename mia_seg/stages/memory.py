"""Lower bounds on memory, compared with what this machine has.

Only a part of the real need is counted: what is refused cannot run, but what passes may still be too much.
"""

from functools import cache

import torch

from mia_seg.attacks.patch_resnet50 import PatchResNet50
from mia_seg.data._open import memory
from mia_seg.errors import MiaSegError
from mia_seg.recipes import Train

# Channels of what the patch attack looks at, in classes; the map of losses has one.
CHANNELS = {"concat": 2, "posterior": 1, "labels": 1}
STEM = 64 // 4  # channels of the attack's first layer, at half the height and width
PROCESS = 600 << 20  # of a process that has loaded PyTorch and a plan, what it shares with no other
Shape = tuple[int, int]


@cache
def room() -> int:
    """Bytes of memory of this machine (or container) and of its accelerators, all together."""
    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return memory() + sum(torch.cuda.get_device_properties(device).total_memory for device in devices)


def check(what: str, held: int, fix: str) -> None:
    """Raise MiaSegError if `held` bytes are more than there are. what, fix: the error's beginning and end."""
    if held > room():
        raise MiaSegError(
            f"{what} takes {held / 1e9:,.1f} GB of memory at the least, and this machine has {room() / 1e9:,.1f} GB. "
            f"{fix}"
        )


def lacking(error: Exception, title: str) -> str:
    """The error message for a failed allocation, on the CPU or a device; '' for any other error."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
    if not known:
        return ""
    return f"{title} needs more memory than there is. Lower batch, crop, patch, [data] size or --repeats."


def of_scenes(image: Shape, count: int) -> int:
    """So many decoded scenes: three bytes a pixel, and one for its label."""
    return 4 * image[0] * image[1] * count


def of_step(train: Train, classes: int) -> int:
    """A training step: images of 3 x 4 bytes a pixel, labels of 8; each class has a logit and its gradient, 4 each."""
    pixels = train.crop[0] * train.crop[1]
    return pixels * (20 * train.batch + 8 * classes * (train.batch // train.accumulate))


def of_layouts(crop: Shape, batch: int, classes: int) -> int:
    """A step of a generator's training: one-hot layouts of 4 bytes a class."""
    return 4 * crop[0] * crop[1] * batch * classes


def of_answer(image: Shape, classes: int, repeats: int) -> int:
    """All answers to one scene, and what a defense makes of each: 4 bytes a class."""
    return 4 * image[0] * image[1] * classes * 2 * repeats


def of_patches(method: PatchResNet50, classes: int) -> int:
    """The patches that are looked at together and the attack's first layer: 4 bytes a channel."""
    together = max(method.batch, method.patches if method.fuse == "random" else 1)
    channels = CHANNELS.get(method.representation, 0) * classes or 1
    return 4 * method.patch[0] * method.patch[1] * together * (channels + STEM)
