"""Every text can be read: WCAG contrast of all pairs that meet, in both themes, measured on the style sheet itself."""

from __future__ import annotations

import re

import pytest

from controller.paths import CLONE

CSS = (CLONE / "static" / "site.css").read_text()
LEAST = 4.5

PAIRS = {  # text colour: what it stands on
    "ink": ["paper", "card", "hover", "sun-soft", "coral-soft"],
    "ink-2": ["paper", "card", "hover"],
    "kelp": ["kelp-soft", "paper", "card"],
    "kelp-ink": ["kelp"],
    "sun-ink": ["paper", "sun-soft"],
    "coral": ["coral-soft"],
}
DOTS = ["ok", "coral", "ink-2"]  # shapes need 3:1; sun does not reach it on white, so its word always stands beside it


def themes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{\s*(--paper.*?)\}", CSS, re.DOTALL)
    return {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))
        for name, text in (("light", light), ("dark", dark))
    }


def luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_is_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), [(text, ground) for text, grounds in PAIRS.items() for ground in grounds])
def test_every_text_stands_out_from_its_ground(theme: str, text: str, ground: str) -> None:
    tokens = themes()[theme]
    assert contrast(tokens[text], tokens[ground]) >= LEAST


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("dot", DOTS)
def test_every_dot_stands_out_from_its_ground(theme: str, dot: str) -> None:
    tokens = themes()[theme]
    assert min(contrast(tokens[dot], tokens[ground]) for ground in ("paper", "card")) >= 3


def test_both_themes_know_the_same_colours() -> None:
    assert themes()["light"].keys() == themes()["dark"].keys()


def test_no_text_colour_and_no_ground_escapes_the_measure() -> None:
    rules = CSS[CSS.index("* { box-sizing") :]
    used = set(re.findall(r"(?<![\w-])color: var\(--([\w-]+)\)", rules))
    grounds = set(re.findall(r"(?<![\w-])background: var\(--([\w-]+)\)", rules))
    assert used <= PAIRS.keys()
    assert grounds <= {ground for all_of in PAIRS.values() for ground in all_of} | {*DOTS, "sun"}


def test_colours_are_written_down_once_as_tokens() -> None:
    rules = CSS[CSS.index("* { box-sizing") :]
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", rules)


def test_motion_is_asked_for_before_it_happens() -> None:
    before, after = CSS.split("@media (prefers-reduced-motion: no-preference)")
    assert "animation" not in before
    assert "transition" not in before
    assert "animation" in after
