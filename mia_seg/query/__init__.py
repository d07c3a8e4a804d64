"""Ask an oracle about scenes, one at a time; keep strided answers and full-resolution statistics."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from torch import Tensor

from mia_seg.data import Scene, Scenes
from mia_seg.oracles import Oracle, Release, check_posteriors, noise
from mia_seg.progress import track
from mia_seg.query import answers
from mia_seg.query._layout import Layout, layout
from mia_seg.query._statistics import statistics
from mia_seg.query.transforms import changed
from mia_seg.store import digest

VERSION = 4


@dataclass(frozen=True)
class Recording:
    """The folder of one defense's answers. release: from the oracle's posterior to the defended answer."""

    folder: Path
    release: Release


def query(
    oracle: Oracle,
    scenes: Scenes,
    recordings: Sequence[Recording],
    *,
    stride: int,
    seed: int,
    title: str,
    repeats: int = 1,
    transform: str | None = None,
    own: bool = False,
) -> None:
    """Ask about each scene, and write each recording's released answers into its folder.

    The noise of a scene is keyed by its id and the seed. repeats: how often each scene is asked about, each time with
    other noise; the mean of the answers is kept. transform: ask about transformed scenes instead. own: use the released
    prediction for the untransformed scene, which is asked about too, in place of labels; takes one recording.
    Raises MiaSegError for an answer that is no posterior of its scene.
    """
    with ExitStack() as files:
        writers = [files.enter_context(_Writer(r, stride)) for r in recordings]
        for found in track(scenes, title, len(scenes)):
            plain = _with_own_labels(found, oracle, recordings[0].release, seed=seed) if own else found
            scene = plain if transform is None else changed(plain, transform, key(plain.id, seed))
            keys = [key(scene.id, seed, k) for k in range(repeats)]
            posteriors = [oracle(scene.image_HWC, one) for one in keys]
            check_posteriors(posteriors, scene, len(scenes.dataset.classes()))
            said = layout(scene.labels_HW)
            for writer in writers:
                writer.add(posteriors, keys, scene, said=said)
    for writer in writers:
        writer.close(scenes)


def key(scene_id: str, seed: int, repeat: int = 0) -> int:
    """The seed of a scene's noise: 48 bits, the same wherever the scene is asked about for the nth time."""
    return int(digest([scene_id, seed, repeat] if repeat else [scene_id, seed]), 16)


def _with_own_labels(scene: Scene, oracle: Oracle, release: Release, *, seed: int) -> Scene:
    one = key(scene.id, seed)
    posterior = release(oracle(scene.image_HWC, one), noise(one))
    return replace(scene, labels_HW=posterior.argmax(0).numpy().astype(np.uint8))


class _Writer:
    """What becomes of one recording, scene after scene."""

    def __init__(self, recording: Recording, stride: int) -> None:
        self.recording, self.stride = recording, stride
        self.rows: list[dict[str, np.ndarray]] = []
        self.shapes: list[tuple[int, int]] = []

    def __enter__(self) -> "_Writer":
        folder = self.recording.folder
        self.posteriors: IO[bytes] = (folder / answers.POSTERIORS).open("wb")
        self.labels: IO[bytes] = (folder / answers.LABELS).open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        # On a full disk closing fails, too.
        try:
            self.posteriors.close()
        finally:
            self.labels.close()

    def add(self, posteriors: Sequence[Tensor], keys: Sequence[int], scene: Scene, *, said: Layout) -> None:
        """One scene: the mean over its repeats. said: by its labels."""
        released = [self.recording.release(p, noise(k)) for p, k in zip(posteriors, keys, strict=True)]
        new = [r for r, p in zip(released, posteriors, strict=True) if r is not p]
        check_posteriors(new, scene, len(posteriors[0]), who="defense")
        posterior_KHW, step = _mean(released), self.stride
        self.rows.append(statistics(posterior_KHW, said))
        kept = np.ascontiguousarray(posterior_KHW[:, ::step, ::step], np.float16)
        self.posteriors.write(kept.tobytes())
        self.labels.write(np.ascontiguousarray(scene.labels_HW[::step, ::step]).tobytes())
        self.shapes.append((kept.shape[1], kept.shape[2]))

    def close(self, scenes: Scenes) -> None:
        """What is written once all scenes are there."""
        folder, classes = self.recording.folder, len(scenes.dataset.classes())
        columns = {name: np.stack([row[name] for row in self.rows]) for name in self.rows[0]}
        np.savez(folder / answers.STATISTICS, allow_pickle=False, **columns)
        index = {"ids": list(scenes.ids), "shapes": self.shapes, "classes": classes, "stride": self.stride}
        (folder / answers.INDEX).write_text(json.dumps(index), encoding="utf-8")


def _mean(posteriors: Sequence[Tensor]) -> np.ndarray:
    """The mean of the repeats' posteriors, [K, H, W]; of one it is itself, and no copy."""
    first, *others = (posterior.numpy() for posterior in posteriors)
    return np.asarray(sum(others, first) / np.float32(len(posteriors))) if others else first
