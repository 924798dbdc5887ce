"""What a Mac with 64 GB can hold: Llama 3.3 70B and Qwen 32B at four bits a weight, alone and together.

Metal measures about 48 GiB on such a machine, so models get 43.2 GiB of it.
"""

from __future__ import annotations

import pytest

from controller.config.schema import Memory
from controller.residency.memory import GIB, budget
from controller.residency.plan import plan
from controller.residency.runner import Facts, Fits, NoRoom, Runner, TooBig
from tests.fakes.gauge import FakeGauge
from tests.unit.residency.shows import LLAMA, QWEN3, QWEN25, resident, runner

MODELS = {"llama3.3:70b": LLAMA, "qwen2.5:32b": QWEN25, "qwen3:32b": QWEN3}
MANY = 8


def room() -> int:
    """For all models together: six gigabytes are the system's and other programs'."""
    return budget(FakeGauge(available=58 * GIB).read([]), 0, Memory())


def loadable(name: str, facts: Facts, context: int, kv_type: str | None) -> Runner:
    return runner(name, facts, context, kv_type, flash=True)


def longest_context(name: str, kv_type: str | None, beside: Runner | None = None) -> int:
    """The largest power of two, up to the model's own context, with which it fits; 0: with none."""
    facts, rows = MODELS[name], {} if beside is None else {beside.key: resident(beside)}
    fitting = [
        2**power
        for power in range(11, facts.context.bit_length())
        if plan(loadable(name, facts, 2**power, kv_type), rows, [], room(), MANY) == Fits()
    ]
    return max(fitting, default=0)


def test_models_get_nine_tenths_of_what_metal_measured() -> None:
    assert room() == int(43.2 * GIB)


@pytest.mark.parametrize(
    ("name", "kv_type", "context"),
    [
        ("llama3.3:70b", "f16", 8192),
        ("llama3.3:70b", "q8_0", 16384),
        ("llama3.3:70b", "q4_0", 32768),
        ("qwen2.5:32b", "f16", 32768),  # all it was made for
        ("qwen2.5:32b", "q8_0", 32768),
        ("qwen3:32b", "f16", 32768),
        ("qwen3:32b", "q8_0", 32768),
    ],
)
def test_alone_each_fits_with_this_context_and_no_longer_one(name: str, kv_type: str, context: int) -> None:
    assert longest_context(name, kv_type) == context


def test_a_70b_with_a_longer_context_is_refused_before_anything_leaves_for_it() -> None:
    beside = loadable("qwen3:32b", QWEN3, 8192, None)
    found = plan(
        loadable("llama3.3:70b", LLAMA, 16384, None), {beside.key: resident(beside)}, [beside.key], room(), MANY
    )
    assert isinstance(found, TooBig)
    assert found.text == (
        "llama3.3:70b needs about 44.9 GiB (weights 39.6 GiB, context 5.0 GiB, work space 330 MiB) and this machine "
        "gives models 43.2 GiB at most: choose a smaller context_length or a smaller model."
    )


@pytest.mark.parametrize("qwen", ["qwen2.5:32b", "qwen3:32b"])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_a_70b_and_a_32b_never_fit_together(qwen: str, kv_type: str) -> None:
    """Their weights alone are 58 GiB: they are swapped."""
    llama = loadable("llama3.3:70b", LLAMA, 2048, kv_type)
    assert longest_context(qwen, kv_type, beside=llama) == 0
    target = loadable(qwen, MODELS[qwen], 2048, kv_type)
    assert plan(target, {llama.key: resident(llama)}, [llama.key], room(), MANY) == Fits((llama.key,))
    assert isinstance(plan(target, {llama.key: resident(llama)}, [], room(), MANY), NoRoom)


@pytest.mark.parametrize(("kv_type", "context"), [("f16", 8192), ("q8_0", 16384), ("q4_0", 32768)])
def test_two_32b_fit_together_with_this_context_each(kv_type: str, context: int) -> None:
    beside = loadable("qwen2.5:32b", QWEN25, 8192, kv_type)
    assert longest_context("qwen3:32b", kv_type, beside=beside) == context


def test_ollamas_own_choice_of_context_would_fit_no_70b() -> None:
    """It takes 262144 tokens on such a Mac, clipped to the model's 131072."""
    assert isinstance(plan(loadable("llama3.3:70b", LLAMA, 262144, None), {}, [], room(), MANY), TooBig)


def test_a_crowded_mac_gives_less_than_metal_measured() -> None:
    crowded = budget(FakeGauge(available=30 * GIB).read([]), 0, Memory())
    assert crowded == 26 * GIB
    llama = loadable("llama3.3:70b", LLAMA, 8192, None)
    assert isinstance(plan(llama, {}, [], crowded, MANY, most=room()), NoRoom)
