"""A victim and its variants on one frontier: who belongs together, who is left out, and what dominates what."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers_results import result

from mia_seg.evaluate.results import Result
from mia_seg.evaluate.scores import SceneScores
from mia_seg.report import index, variants

BOTH = ("image_loss", "predictability_error")


@pytest.fixture(autouse=True)
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`town`, its variant, and a variant of that."""
    (tmp_path / "victims").mkdir()
    for name, base in {"town": "", "town_short": "town", "town_short_dp": "town_short", "lake": ""}.items():
        text = f'variant_of = "{base}"\n' if base else ""
        (tmp_path / "victims" / f"{name}.toml").write_text(text)
    monkeypatch.chdir(tmp_path)


def audited(
    victim: str, leaks: dict[str, float], miou: float, *, attacks: Sequence[str] = BOTH, seed: int = 1
) -> list[Result]:
    """The results of a victim by image, a shift of scores for each defense; the first attack is the stronger one."""
    return [
        result(
            shift - 0.4 * place, miou=miou, scored=True, victim=victim, defense=defense, attack=attack,
            representation="", adaptive=defense != "none", seed=seed,
        )
        for defense, shift in leaks.items() for place, attack in enumerate(attacks)
    ]  # fmt: skip


TOWN = audited("town", {"none": 4.0, "argmax": 2.0}, 0.45)
SHORT = audited("town_short", {"none": 0.8}, 0.46)
DP = audited("town_short_dp", {"none": 0.2}, 0.3)


def test_a_victim_and_its_variants_are_one_frontier() -> None:
    (found,) = variants.families([*TOWN, *SHORT, *DP], "reports")
    assert found.table.title == "reports/town and its variants, adversary A1"
    assert [row[:4] for row in found.table.rows] == [
        ["town_short_dp", "no defense", "image loss", "–"],
        ["town_short", "no defense", "image loss", "–"],
        ["town", "argmax", "image loss", "town_short, no defense*"],
        ["town", "no defense", "image loss", "town, argmax*; town_short, no defense*"],
    ]
    assert "every line count: image loss, predictability error." in found.table.reading
    assert "seeds: town through village_a1; town_short through village_a1; town" in found.table.reading
    assert "Left out" not in found.table.reading
    assert found.picture.startswith(b"\x89PNG")


def test_what_was_not_audited_alike_is_left_out_by_name() -> None:
    fewer = audited("town_short", {"none": 0.8}, 0.46, attacks=BOTH[:1])
    (found,) = variants.families([*TOWN, *fewer, *DP])
    assert {row[0] for row in found.table.rows} == {"town", "town_short_dp"}
    assert "were tried: town_short." in found.table.reading
    one = SHORT[0].scores
    assert one is not None
    swapped = SceneScores(one.ids, ~one.members_N, one.groups, one.scores_N)
    other = [run.model_copy().with_scores(swapped) for run in SHORT]
    assert not variants.families([*TOWN, *other]), "of other memberships"
    assert not variants.families([*TOWN, *audited("town_short", {"none": 0.8}, 0.46, seed=2)]), "of other seeds"


def test_another_victim_and_another_adversary_are_no_variants() -> None:
    assert not variants.families([*TOWN, *audited("lake", {"none": 0.8}, 0.46)])
    assert not variants.families([*TOWN, *audited("nobody_s", {"none": 0.8}, 0.46)]), "without a recipe"
    other = [run.model_copy(update={"adversary": "A2"}).with_scores(run.scores) for run in SHORT]
    assert not variants.families([*TOWN, *other])


def test_fleets_stand_apart_from_single_shadows() -> None:
    fleets = [run.model_copy(update={"choose": "halves"}).with_scores(run.scores) for run in [*TOWN, *SHORT]]
    (found,) = variants.families([*fleets, *DP])
    assert found.table.title == "town and its variants, adversary A1, many shadows"
    assert "The numbers of shadows may differ." in found.table.reading


def test_of_two_shadows_of_a_victim_one_counts() -> None:
    half = [run.model_copy(update={"shadow": "half"}).with_scores(run.scores) for run in TOWN[:1]]
    (found,) = variants.families([*half, *TOWN, *SHORT])
    assert "seeds: town through village_a1; town_short" in found.table.reading


def test_an_attack_that_ranks_backwards_leaks_as_much() -> None:
    inverted = audited("town_short", {"none": -3.5}, 0.44)
    (found,) = variants.families([*TOWN, *inverted])
    assert found.table.rows[-1][0] == "town_short"
    assert found.table.rows[-1][3].startswith("town, ")


def test_the_index_has_them() -> None:
    (shown,) = index.content({"": [*TOWN, *SHORT]})["variants"]
    assert shown["table"].title.startswith("town and its variants")
    assert shown["picture"].startswith("data:image/png;base64,")
    assert index.content({"": TOWN})["variants"] == []
