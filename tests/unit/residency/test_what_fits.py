"""What a Mac with 64 GB can hold: Llama 3.3 70B and Qwen 32B at four bits a weight, alone and together.

Metal measures about 48 GiB on such a machine, so models get 43.2 GiB of it.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from controller.config.machine import Memory
from controller.engines.ollama.facts import Anatomy
from controller.engines.ollama.inside import INSIDES, LLAMA_SERVER, OWN_RUNNER, Inside
from controller.engines.ollama.needs import StartedAs
from controller.engines.runner import Runner
from controller.plain import GIB
from controller.residency.memory import Budget, budget
from controller.residency.plan import plan
from controller.residency.resident import Fits, NoRoom, Resident, Taken, TooBig
from tests.fakes.gauge import FakeGauge
from tests.unit.residency.shows import LLAMA, QWEN3, QWEN25, example, resident, runner

MODELS = {"llama3.3:70b": LLAMA, "qwen2.5:32b": QWEN25, "qwen3:32b": QWEN3}
MANY = 8


def room(available: int = 58 * GIB) -> Budget:
    """For all models together: six gigabytes are the system's and other programs'."""
    return budget(FakeGauge(available=available).read({}), Memory())


def loadable(name: str, facts: Anatomy, context: int, kv_type: str | None, inside: Inside = LLAMA_SERVER) -> Runner:
    return runner(name, facts, StartedAs(context, 1, kv_type, flash=True), inside)


def longest_context(name: str, kv_type: str | None, inside: Inside, beside: Runner | None = None) -> int:
    """The largest power of two, up to the model's own context, with which it fits; 0: with none."""
    facts, rows = MODELS[name], {} if beside is None else {beside.key: resident(beside)}
    fitting = [
        2**power
        for power in range(11, facts.context.bit_length())
        if plan(loadable(name, facts, 2**power, kv_type, inside), rows, [], room(), MANY) == Fits()
    ]
    return max(fitting, default=0)


def test_models_get_nine_tenths_of_what_metal_measured() -> None:
    assert (room().there, room().ram) == (int(43.2 * GIB), 54 * GIB)


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
    for inside in INSIDES:
        assert longest_context(name, kv_type, inside) == context


@pytest.mark.parametrize(
    ("inside", "sum_of_it"),
    [
        (OWN_RUNNER, "44.9 GiB (weights 39.6 GiB, context 5.0 GiB, work space 330 MiB)"),
        (LLAMA_SERVER, "45.2 GiB (weights 39.6 GiB, context 5.0 GiB, work space 581 MiB)"),
    ],
)
def test_a_70b_with_a_longer_context_is_refused_before_anything_leaves_for_it(inside: Inside, sum_of_it: str) -> None:
    beside = loadable("qwen3:32b", QWEN3, 8192, None, inside)
    long = loadable("llama3.3:70b", LLAMA, 16384, None, inside)
    found = plan(long, {beside.key: resident(beside)}, [beside.key], room(), MANY)
    assert isinstance(found, TooBig)
    assert found.text == (
        f"llama3.3:70b needs about {sum_of_it} and this machine gives models 43.2 GiB at most: choose a smaller "
        "context_length or a smaller model."
    )


@pytest.mark.parametrize("qwen", ["qwen2.5:32b", "qwen3:32b"])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_a_70b_and_a_32b_never_fit_together(qwen: str, kv_type: str) -> None:
    """Their weights alone are 58 GiB: they are swapped."""
    llama = loadable("llama3.3:70b", LLAMA, 2048, kv_type)
    assert longest_context(qwen, kv_type, LLAMA_SERVER, beside=llama) == 0
    target = loadable(qwen, MODELS[qwen], 2048, kv_type)
    assert plan(target, {llama.key: resident(llama)}, [llama.key], room(), MANY) == Fits((llama.key,))
    assert isinstance(plan(target, {llama.key: resident(llama)}, [], room(), MANY), NoRoom)


@pytest.mark.parametrize(("kv_type", "context"), [("f16", 8192), ("q8_0", 16384), ("q4_0", 16384)])
def test_two_32b_fit_together_with_this_context_each(kv_type: str, context: int) -> None:
    """With q4_0, Ollama ≥ 0.30 would make one leave for 32768 tokens of the other: it reckons with f16."""
    beside = loadable("qwen2.5:32b", QWEN25, 8192, kv_type)
    assert longest_context("qwen3:32b", kv_type, LLAMA_SERVER, beside=beside) == context


def test_ollamas_own_choice_of_context_would_fit_no_70b() -> None:
    """It takes 262144 tokens on such a Mac, clipped to the model's 131072."""
    assert isinstance(plan(loadable("llama3.3:70b", LLAMA, 262144, None), {}, [], room(), MANY), TooBig)


def test_a_crowded_mac_gives_less_than_metal_measured() -> None:
    crowded = room(available=30 * GIB)
    assert crowded.ram == 26 * GIB
    llama = loadable("llama3.3:70b", LLAMA, 8192, None)
    assert isinstance(plan(llama, {}, [], crowded, MANY, most=room()), NoRoom)


# --- the worked example of config/models.example.yaml -----------------------------------------------------------------


def test_its_sums_are_right() -> None:
    told = {name: (round(each.need / GIB, 1), round(each.cache / GIB, 1)) for name, each in example().items()}
    assert told == {"qwen3:32b": (21.6, 4.2), "qwen3:14b": (10.6, 3.3), "qwen3:8b": (6.7, 3.2)}
    needs, caches = (sum(each.need for each in example().values()), sum(each.cache for each in example().values()))
    assert (round(needs / GIB, 1), round(caches / GIB, 1), round((needs + caches) / GIB, 1)) == (38.9, 10.8, 49.7)


@pytest.mark.parametrize("order", list(permutations(example())))
def test_all_three_stay_loaded_side_by_side_in_whatever_order_they_come(order: tuple[str, ...]) -> None:
    there = dict[str, Resident]()
    for name in order:
        target = example()[name]
        left = 58 * GIB - sum(row.taken for row in there.values())
        gauge = FakeGauge(available=left, footprints={at: row.taken for at, row in enumerate(there.values())})
        now = budget(gauge.read(dict.fromkeys(range(3), Taken())), Memory())
        assert plan(target, there, list(there), now, MANY) == Fits()
        there[target.key] = resident(target)


def test_with_twice_the_context_only_two_of_them_do() -> None:
    large, middle, small = example(32768, prompts=0).values()
    rows = {each.key: resident(each) for each in (large, middle)}
    assert plan(small, rows, [], room(), MANY) == NoRoom("qwen3:8b fits once qwen3:14b or qwen3:32b can leave.")
    assert plan(small, {large.key: resident(large)}, [], room(), MANY) == Fits()
