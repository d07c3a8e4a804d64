"""The quality of a victim's generators of features: their scores over the training, and at its end."""

from collections.abc import Sequence
from typing import Any

import seaborn as sns
from matplotlib.figure import Figure

from mia_seg.report.style import GREY, HUES, figure
from mia_seg.report.tables import METRICS, Table, percent

SHARE = 0.8
READING = (
    "The mIoU of the victim's predictions from generated features, on the label maps of held-out scenes. The victim "
    "was trained on these scenes, the generators were not. A line is one training of a generator. Dashed: the mIoU "
    "from the scenes' real features (grey: from the lowest to the highest seed), and four fifths of it. The nearer a "
    "line comes, the less mIoU a defense by this generator costs."
)
TABLE = (
    "The quality in percent of the victim's predictions from generated features, after the last epoch and on held-out "
    "scenes. In parentheses: from real features. The last column is the share of the real mIoU that is reached. There "
    "are no intervals, so small differences show nothing."
)


def generator_figure(scores: Sequence[dict[str, Any]]) -> Figure:
    """mIoU over epochs: a line for each generator and seed, a colour for each generator."""
    drawn = figure(6.2, 3.4)
    ax = drawn.subplots()
    palette = sns.color_palette("colorblind").as_hex()
    names = sorted({_name(score) for score in scores})
    colours = {name: palette[HUES[i % len(HUES)]] for i, name in enumerate(names)}
    for score in scores:
        epochs, name = score["epochs"], _name(score)
        ax.plot([e["epoch"] for e in epochs], [100 * e["miou"] for e in epochs], color=colours[name], linewidth=1.2)
        ax.plot(epochs[-1]["epoch"], 100 * epochs[-1]["miou"], "o", color=colours[name], markersize=4)
    for name in names:
        ax.plot([], [], color=colours[name], label=name)
    real = [100 * score["real"]["miou"] for score in scores]
    ax.axhspan(min(real), max(real), color=GREY, alpha=0.15, linewidth=0)
    for share, text in ((1, "real features"), (SHARE, f"{SHARE:.0%} of real")):
        level = share * sum(real) / len(real)
        ax.axhline(level, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
        ax.annotate(
            text, (1, level), (2, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
        )
    ax.set_xlabel("Epoch")
    ax.set_ylabel("mIoU on held-out layouts, %")
    ax.set_ylim(0)
    drawn.legend(loc="outside upper center", ncols=len(names))
    return drawn


def generator_table(scores: Sequence[dict[str, Any]]) -> Table:
    """A line for each generator and seed: its scenes, and its score beside that of real features."""
    return Table(
        "Generators of features",
        TABLE,
        ["Generator", "Seed", "Scenes", "Held-out scenes", *METRICS.values(), "Share of real mIoU, %"],
        [_row(score) for score in scores],
    )


def _row(score: dict[str, Any]) -> list[str]:
    last, real = score["epochs"][-1], score["real"]
    counts = [str(score[key]) for key in ("seed", "scenes", "held_out")]
    metrics = [f"{percent(last[name])} ({percent(real[name])})" for name in METRICS]
    share = percent(last["miou"] / real["miou"]) if real["miou"] else "–"
    return [_name(score), *counts, *metrics, share]


def _name(score: dict[str, Any]) -> str:
    """The generator's name, with its settings that differ from the defaults: 'dfgan', 'dfgan (cells 5)'."""
    settings = dict(score["generator"])
    name, told = settings.pop("name"), ", ".join(f"{key} {value}" for key, value in sorted(settings.items()) if value)
    return f"{name} ({told})" if told else str(name)
