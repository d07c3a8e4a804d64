"""mia-seg: can someone who only sees a segmenter's predictions tell which images it was trained on?

recipe -> scenes -> train -> black box (+ defense) -> query -> answers -> attack -> scores -> metrics -> report

    import mia_seg as mia
    audit = mia.audit(victim="demo", shadow="demo_a1", defenses=["none", "argmax"], attacks=["image_loss"])
    audit.table()
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Audit", "Audits", "audit", "grid", "results"]


def __getattr__(name: str) -> Any:
    # By name: an import would make every part of the package wait for the interface that stands on all of them.
    if name not in __all__:
        raise AttributeError(f"module 'mia_seg' has no attribute '{name}'")
    return getattr(import_module("mia_seg.api"), name)
