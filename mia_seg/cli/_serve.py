"""`mia-seg serve`: a trained victim as a service that others can ask."""

import importlib.util
import os
from enum import StrEnum
from typing import Annotated

import typer

from mia_seg.cli import _complete as complete
from mia_seg.cli import _screen as screen
from mia_seg.cli._options import Device, Kept, Victim
from mia_seg.errors import MiaSegError

ALONE = ("127.0.0.1", "::1", "localhost")  # addresses that no other machine reaches


class NoiseOf(StrEnum):
    """What a defense's noise comes from; `mia_seg.serve.Noise`, which would import torch."""

    IMAGE = "image"
    FRESH = "fresh"
    CLIENT = "client"


def serve(
    victim: Victim,
    defense: Annotated[
        str, typer.Option(help="Defense as name or name:value, such as synfeat:0.75.", autocompletion=complete.DEFENSES)
    ] = "none",
    *,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the trained victim.")] = 0,
    places: Kept,
    device: Device = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    limit: Annotated[int | None, typer.Option(min=1, help="Requests per client and minute.")] = None,
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Environment variable that holds the key which clients must send."),
    ] = None,
    noise: Annotated[
        NoiseOf,
        typer.Option(help="Noise of a defense: the same for each image, fresh for each request, or by a client's key."),
    ] = NoiseOf.IMAGE,
    batch: Annotated[
        int, typer.Option(min=1, help="Images answered at once, from several requests; above 1, last bits may differ.")
    ] = 1,
) -> None:
    """Serve a trained victim over HTTP (Open Inference Protocol v2), defended or not. Ctrl-C stops it."""
    _check_extra()
    key = _key(key_env)
    from mia_seg.serve import Noise, Rules
    from mia_seg.serve.deployed import deployed
    from mia_seg.serve.server import serve as run
    from mia_seg.store import Store
    from mia_seg.workspace import Workspace

    workspace = Workspace(Store(places.store), places.data_root, device=device)
    service = deployed(victim, seed, workspace, defense=defense, noise=Noise(noise.value), batch=batch)

    def ready(url: str) -> None:
        screen.out().print(f"serving {victim}, seed {seed}, {defense}: {url}/v2/models/{victim}", markup=False)
        if key is None and host not in ALONE:
            screen.out().print(f"Whoever reaches {host} can ask: --key-env NAME asks them for a key.", markup=False)
        screen.out().print("Ctrl-C stops it.")

    run(service, Rules(limit, key), host, port=port, ready=ready)
    screen.out().print("Stopped.")


def _check_extra() -> None:
    lacking = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if lacking:
        raise MiaSegError(f"mia-seg serve needs {' and '.join(lacking)}. Install: pip install 'mia-seg[serve]'.")


def _key(key_env: str | None) -> str | None:
    """The clients' key; the variable's name is not repeated, since it may be the key itself by mistake."""
    if key_env is None:
        return None
    key = os.environ.get(key_env, "").strip()
    if not key:
        raise MiaSegError("The environment variable that --key-env names is not set. Set it to the clients' key.")
    if not (key.isascii() and key.isprintable()):
        raise MiaSegError("The key in the variable of --key-env has characters that no header takes. Choose another.")
    return key
