"""What the controller adds to a swap, beside Ollama's own unload and load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import httpx
import psutil
import pytest

from tests.acceptance.conftest import MakeHouse
from tests.kit import real, web
from tests.kit.below import runners_below

ROUNDS = 20
MODELS = ("red", "blue")
AT_ONCE = {"patience": "0s", "min_stay": "0s", "linger": "0s"}


def undisturbed(seconds: list[float]) -> float:
    """The mean of the best few: whatever else the machine does only adds."""
    return fmean(sorted(seconds)[:5])


@contextmanager
def client(url: str) -> Iterator[httpx.Client]:
    with web.client(base_url=url, timeout=60) as http:
        yield http


def generate(http: httpx.Client, model: str, **more: object) -> None:
    """One token, or what `more` makes of it."""
    asked = {"model": model, "prompt": "hi", "stream": False, "options": {"num_predict": 1}, **more}
    http.post("/api/generate", json=asked).raise_for_status()


def bare(http: httpx.Client, server: int, away: str, there: str) -> float:
    """Seconds that Ollama itself takes from one model to the other's first token: nobody else is in the way."""
    leaving = runners_below(server)
    began = time.perf_counter()
    generate(http, away, prompt="", keep_alive=0)
    psutil.wait_procs(leaving, timeout=30)
    generate(http, there)
    return time.perf_counter() - began


def swapped(http: httpx.Client, there: str) -> float:
    """Seconds of a request for a model that is not loaded, through the line."""
    began = time.perf_counter()
    generate(http, there)
    return time.perf_counter() - began


@pytest.mark.proof
def test_a_swap_takes_fifty_milliseconds_longer_than_ollamas_own_unload_and_load_at_most(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(line=AT_ONCE, ollama={"binary": str(real.program())})
    house.write("models", {"folder": str(real.copy_library(tmp_path / "ours")), "max_loaded": 1})
    house.up().until_ready()
    alone, ours = list[float](), list[float]()
    with (
        real.serve(tmp_path / "home", real.copy_library(tmp_path / "bare"), OLLAMA_KEEP_ALIVE="-1") as ollama,
        client(ollama.url) as direct,
        client(house.url) as through,
    ):
        for http in (direct, through):
            generate(http, MODELS[1])
        for number in range(ROUNDS):
            there, away = MODELS[number % 2], MODELS[(number + 1) % 2]
            alone.append(bare(direct, ollama.process.pid, away, there))
            ours.append(swapped(through, there))
    told = f"bare {undisturbed(alone) * 1000:.0f} ms, through the line {undisturbed(ours) * 1000:.0f} ms"
    print(told)
    assert undisturbed(ours) - undisturbed(alone) <= 0.050, told
