"""Doubts about slots."""

from __future__ import annotations

import pytest

from controller.proxy.unproven import Unproven, full_name


def test_nothing_is_in_doubt_at_first() -> None:
    assert not Unproven().doubts("m")


def test_a_hang_up_puts_its_model_in_doubt_until_it_answers() -> None:
    slots = Unproven()
    slots.doubt("Llama3.2")
    assert slots.doubts("llama3.2:latest")
    assert not slots.doubts("other")
    slots.prove("llama3.2")
    assert not slots.doubts("llama3.2")


def test_after_an_adoption_every_model_is_in_doubt_once() -> None:
    slots = Unproven()
    slots.doubt_all()
    assert slots.doubts("a")
    slots.prove("a")
    assert not slots.doubts("a")
    assert slots.doubts("b")
    slots.doubt("a")
    assert slots.doubts("a")


@pytest.mark.parametrize(
    ("name", "full"),
    [("m", "m:latest"), ("M:1B", "m:1b"), ("host:5000/ns/m", "host:5000/ns/m:latest"), (" m ", "m:latest")],
)
def test_one_model_has_one_name(name: str, full: str) -> None:
    assert full_name(name) == full
