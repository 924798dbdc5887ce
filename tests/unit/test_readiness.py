from __future__ import annotations

import asyncio

from controller.readiness import Address, Readiness

HERE = Address("127.0.0.1", 1, 1)


async def test_a_request_that_waits_goes_on_when_upstream_is_ready() -> None:
    readiness = Readiness("Ollama")
    waiting = asyncio.create_task(readiness.wait(60))
    await asyncio.sleep(0)
    assert readiness.waiting == 1
    readiness.set("ready", "Ollama answers.", HERE)
    assert await waiting == "ready"
    assert readiness.waiting == 0


async def test_nobody_waits_for_what_is_down() -> None:
    readiness = Readiness("Ollama")
    waiting = asyncio.create_task(readiness.wait(60))
    await asyncio.sleep(0)
    readiness.set("down", "The breaker is open.")
    assert await waiting == "down"
    assert await readiness.wait(60) == "down"


async def test_a_wait_ends_with_its_limit() -> None:
    assert await Readiness("Ollama").wait(0.001) == "coming"


async def test_a_pause_holds_requests_although_upstream_answers() -> None:
    readiness = Readiness("Ollama")
    readiness.set("ready", "Ollama answers.", HERE)
    with readiness.paused("Ollama restarts with new settings."):
        assert (readiness.verdict, readiness.reason) == ("coming", "Ollama restarts with new settings.")
        readiness.set("ready", "Ollama answers.", HERE)  # a probe in between changes nothing
        assert await readiness.wait(0.001) == "coming"
    assert readiness.verdict == "ready"


async def test_a_pause_does_not_hide_that_upstream_is_down() -> None:
    readiness = Readiness("Ollama")
    with readiness.paused("Ollama restarts."):
        readiness.set("down", "Its program is missing.")
        assert await readiness.wait(60) == "down"


def test_who_wants_to_know_is_told_of_each_change_and_of_nothing_else() -> None:
    readiness, heard = Readiness("Ollama"), list[tuple[str, str]]()
    readiness.changed.append(lambda: heard.append((readiness.verdict, readiness.reason)))
    readiness.set("ready", "Ollama answers.", HERE)
    readiness.set("ready", "Ollama answers.", HERE)
    with readiness.paused("Ollama restarts."):
        pass
    readiness.set("down", "Its program is missing.")
    assert heard == [
        ("ready", "Ollama answers."),
        ("coming", "Ollama restarts."),
        ("ready", "Ollama answers."),
        ("down", "Its program is missing."),
    ]


def test_who_waits_in_vain_is_told_for_whom_how_long_and_why() -> None:
    readiness = Readiness("Ollama")
    readiness.set("coming", "It restarts.")
    words = "Ollama did not come back within 60 seconds. It restarts. Please try again in a moment."
    assert readiness.held_out_words(60.0) == words
    readiness.set("down", "Its program is missing.")
    assert readiness.down_words == "Ollama is not running. Its program is missing."
