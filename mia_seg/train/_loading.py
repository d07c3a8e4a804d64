"""Reading crops in worker processes during training, and turning their failures into MiaSegError."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from mia_seg.errors import MiaSegError
from mia_seg.train._crops import Crops
from mia_seg.train._order import Shares

Part = tuple[Tensor, Tensor, Tensor]  # images, labels and the scenes' places among those that are trained on
LOST = "DataLoader worker"  # how torch begins what it says of a process that ended


class _Told(Dataset[tuple[Tensor, Tensor, int] | MiaSegError]):
    """Crops, and errors as values: one raised in another process comes back as the text of a traceback."""

    def __init__(self, crops: Crops) -> None:
        self.crops = crops

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int] | MiaSegError:
        try:
            return *self.crops[index], index
        except MiaSegError as error:
            return error


def load_crops(crops: Crops, shares: Shares, *, workers: int, pinned: bool) -> DataLoader[Any]:
    """A loader of batches of crops. A batch with a scene that cannot be read is replaced by its MiaSegError."""
    # A generator of its own: what a loader draws for its workers is not to shift the dropout noise.
    return DataLoader(
        _Told(crops), batch_sampler=shares, num_workers=workers, generator=torch.Generator(), pin_memory=pinned,
        collate_fn=_collate, worker_init_fn=_leave_interrupts,
    )  # fmt: skip


@contextmanager
def reading_scenes(loader: DataLoader[Any], title: str) -> Iterator[Iterator[Any]]:
    """A pass over the batches; its worker processes end with it. Raises MiaSegError if one dies."""
    batches = iter(loader)
    try:
        yield batches
    except (RuntimeError, EOFError, ConnectionError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith(LOST):
            raise
        # One that ends while it hands a batch over breaks the connection before torch hears of its end.
        how = str(error).strip().rstrip(".") or f"{LOST} broke off"
        raise MiaSegError(
            f"{title}: a process that reads scenes has ended ({how}), most often because "
            f"memory ran out. Use fewer --workers. The same command goes on from the last saved step."
        ) from None
    finally:
        # Not left to the garbage collector: until then torch raises whenever it hears of a process that has ended.
        getattr(batches, "_shutdown_workers", lambda: None)()


def nothing(crop: tuple[int, int]) -> Part:
    """A batch for which no scene was drawn."""
    return torch.zeros(0, 3, *crop), torch.zeros(0, *crop, dtype=torch.long), torch.zeros(0, dtype=torch.long)


def _collate(items: Sequence[tuple[Tensor, Tensor, int] | MiaSegError]) -> Any:
    faults = [item for item in items if isinstance(item, MiaSegError)]
    if not items:  # scenes are drawn by coins, and none was
        return None
    return faults[0] if faults else default_collate(list(items))


def _leave_interrupts(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal: the first one answers it and ends the others."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
