"""Hashes of the images of a cut. Each image is decoded once, before anything is trained."""

from dataclasses import replace

import imagehash
import PIL

from mia_seg.data._twins import VERSION, Fingerprint, fingerprint
from mia_seg.errors import MiaSegError
from mia_seg.stages.scenes import Cut
from mia_seg.store.content import hashed
from mia_seg.store.memo import Memo
from mia_seg.workspace import Workspace

# Another decoder may give other pixels for the same JPEG: only fingerprints of one decoder are compared.
READER = f"{VERSION} pillow-{PIL.__version__} imagehash-{imagehash.__version__}"


def seen(cut: Cut, workspace: Workspace) -> Cut:
    """The cut with its pictures identified by their pixels at stored size, in whatever files they are.

    Each image is decoded once and remembered in the store. Generated scenes stay as they are. Raises MiaSegError for an
    image that cannot be read, or changes meanwhile.
    """
    read = [i for i, content in cut.content.items() if content]
    rows = Memo(workspace.store.root / "fingerprints.json").of(
        [f"{READER} {cut.pictures[i]}" for i in read],
        lambda k: _row(cut, read[k], workspace),
        "  looking at the scenes' images once",
    )
    shown = {i: Fingerprint(pixels, int(look, 16)) for i, (pixels, look) in zip(read, rows, strict=True)}
    pictures = cut.pictures | {i: one.pixels for i, one in shown.items()}
    return replace(cut, pictures=pictures, looks={i: one.look for i, one in shown.items()})


def _row(cut: Cut, scene_id: str, workspace: Workspace) -> list[str]:
    """The fingerprint of one image; of what was hashed, for it is kept under that hash."""
    image = cut.dataset.files(workspace.data_root, scene_id)[0]
    found = fingerprint(cut.dataset.image(workspace.data_root, scene_id))
    if hashed(image) != cut.pictures[scene_id]:
        raise MiaSegError(f"{image} changed while it was read. Run the same command again once nothing writes there.")
    return [found.pixels, f"{found.look:x}"]
