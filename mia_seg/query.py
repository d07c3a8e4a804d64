"""Ask a black box about scenes, one at a time; keep strided answers and full-resolution statistics."""

import json
from pathlib import Path
from typing import IO

import numpy as np
from scipy import ndimage

from mia_seg import answers
from mia_seg.blackbox import BlackBox
from mia_seg.data import IGNORE, Scene, Scenes
from mia_seg.metrics.segmentation import confusion
from mia_seg.progress import track
from mia_seg.recipe import digest

VERSION = 1
# Posteriors are kept as float16, whose resolution near zero this floor respects.
FLOOR = 1e-6
BOUNDARY_RADIUS = 2


def query(box: BlackBox, scenes: Scenes, stride: int, seed: int, folder: Path, title: str, repeats: int = 1) -> None:
    """Write the answers of `box` to every scene into `folder`; the noise of a scene is keyed by its id and the seed.

    repeats: how often each scene is asked about, under noise of its own; the mean of the answers is kept.
    """
    classes = len(scenes.dataset.classes())
    rows, shapes = [], []
    with (folder / answers.POSTERIORS).open("wb") as posteriors, (folder / answers.LABELS).open("wb") as labels:
        for scene in track(scenes, title, len(scenes)):
            asked = [box(scene.image_HWC, key(scene.id, seed, k)).numpy() for k in range(repeats)]
            posterior_KHW = np.mean(asked, 0)
            rows.append(statistics(posterior_KHW, scene.labels_HW))
            shapes.append(_append(posteriors, labels, posterior_KHW, scene, stride))
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    np.savez(folder / answers.STATISTICS, allow_pickle=False, **columns)
    index = {"ids": list(scenes.ids), "shapes": shapes, "classes": classes, "stride": stride}
    (folder / answers.INDEX).write_text(json.dumps(index), encoding="utf-8")


def key(scene_id: str, seed: int, repeat: int = 0) -> int:
    """The seed of a scene's noise: 48 bits, the same wherever the scene is asked about for the nth time."""
    return int(digest([scene_id, seed, repeat] if repeat else [scene_id, seed]), 16)


def statistics(posterior_KHW: np.ndarray, labels_HW: np.ndarray) -> dict[str, np.ndarray]:
    """One scene's row of `Statistics`."""
    classes = posterior_KHW.shape[0]
    labelled = labels_HW != IGNORE
    label_of = np.where(labelled, labels_HW, 0).astype(np.intp)
    p = np.take_along_axis(posterior_KHW, label_of[None], 0)[0].clip(FLOOR, 1 - FLOOR).astype(np.float64)
    loss, boundary = -np.log(p), boundary_band(labels_HW) & labelled
    where = label_of[labelled]
    return {
        "pixels_NK": np.bincount(where, minlength=classes),
        "confusion_NKK": confusion(labels_HW, posterior_KHW.argmax(0), classes),
        "loss_NK": np.bincount(where, loss[labelled], classes),
        "phi_NK": np.bincount(where, (np.log(p) - np.log1p(-p))[labelled], classes),
        "boundary_pixels_N": np.asarray(boundary.sum()),
        "boundary_loss_N": np.asarray(loss[boundary].sum()),
        "confidence_N": np.asarray(posterior_KHW.max(0).mean(dtype=np.float64)),
    }


def boundary_band(labels_HW: np.ndarray) -> np.ndarray:
    """Pixels within two pixels (square neighbourhood) of another label: bool [H, W]."""
    width = 2 * BOUNDARY_RADIUS + 1
    return ndimage.maximum_filter(labels_HW, width) != ndimage.minimum_filter(labels_HW, width)


def _append(
    posteriors: IO[bytes], labels: IO[bytes], posterior_KHW: np.ndarray, scene: Scene, stride: int
) -> tuple[int, int]:
    kept = np.ascontiguousarray(posterior_KHW[:, ::stride, ::stride], np.float16)
    posteriors.write(kept.tobytes())
    labels.write(np.ascontiguousarray(scene.labels_HW[::stride, ::stride]).tobytes())
    return kept.shape[1], kept.shape[2]
