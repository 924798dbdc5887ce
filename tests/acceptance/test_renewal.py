"""Ollama is upgraded on the disk while it runs: that is noticed and told, and it is taken over when nobody minds."""

from __future__ import annotations

import threading

import httpx

from tests.acceptance.conftest import MakeHouse
from tests.fakes import ollama as fake_ollama
from tests.kit import web
from tests.kit.house import FakeHouse, until

OLD, NEW = "0.31.0", "0.32.0"


def told(house: FakeHouse, words: str) -> str:
    """The first thing that was said with these words in it."""
    return until(
        lambda: next((str(each["text"]) for each in house.events() if words in str(each.get("text"))), None),
        seconds=60,
        why=f"{words}: {[each.get('text') for each in house.events()][-5:]}",
    )


def version(house: FakeHouse) -> str:
    return str(house.child().get("facts", {}).get("version"))


def running_old(make_house: MakeHouse, **ollama: str) -> FakeHouse:
    house = make_house(ollama=ollama)
    fake_ollama.program(house.folder, OLD)
    house.up().until_ready()
    assert version(house) == OLD
    return house


def chat(house: FakeHouse, tokens: int) -> httpx.Response:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "options": {"num_predict": tokens}}
    return web.post(f"{house.url}/api/chat", json=body, timeout=120)


def test_an_upgraded_ollama_takes_over_once_nothing_is_answered(make_house: MakeHouse) -> None:
    house = running_old(make_house)
    before = house.child()
    house.knobs(pause=0.5, tokens=60)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(chat(house, 60)))
    asking.start()
    until(lambda: "1 being answered" in house.run("queue").stdout or None, why=house.run("queue").stdout)
    fake_ollama.program(house.folder, NEW)
    assert f"is Ollama {NEW} now, and {OLD} runs" in told(house, "on the disk is Ollama")
    assert house.child()["pid"] == before["pid"], "somebody is being answered"
    asking.join(120)
    assert answers[0].status_code == 200
    assert answers[0].text.rstrip().endswith("}")
    assert '"done":true' in answers[0].text.replace(" ", "")
    assert "takes over" in told(house, "Nothing has been asked for a minute")
    until(lambda: version(house) == NEW, seconds=60)
    assert house.child()["pid"] != before["pid"]
    assert house.status()["pid"] == house.pid
    house.until_ready()


def test_with_renew_never_it_is_told_and_goes_on_and_the_setting_may_change(make_house: MakeHouse) -> None:
    house = running_old(make_house, renew="never")
    before = house.child()["pid"]
    fake_ollama.program(house.folder, NEW)
    assert told(house, "on the disk is Ollama").endswith("It takes over with: seadragon restart ollama")
    assert (house.child()["pid"], version(house)) == (before, OLD)
    house.configure(ollama={"renew": "when_idle"})
    until(lambda: version(house) == NEW, seconds=60)


def test_a_new_one_that_cannot_run_is_told_and_the_old_one_goes_on(make_house: MakeHouse) -> None:
    house = running_old(make_house)
    before = house.child()["pid"]
    spoil(house, "echo 'dyld: Library not loaded' >&2; exit 134")
    words = told(house, "cannot be used")
    assert "exit code 134" in words
    assert "dyld: Library not loaded" in words
    assert f"so Ollama {OLD} goes on" in words
    assert f"ollama/releases/tag/v{OLD}" in words
    assert house.child()["pid"] == before
    assert chat(house, 2).status_code == 200
    fake_ollama.program(house.folder, NEW)  # mended: it takes over by itself
    assert "Nothing has been asked" in told(house, "takes over.")
    until(lambda: version(house) == NEW, seconds=60)


def test_a_new_one_that_says_its_version_and_does_not_start_names_the_old_one_and_the_way_back(
    make_house: MakeHouse,
) -> None:
    """As Homebrew does it: each version has its own folder, and a link says which one counts."""
    house = make_house()
    cellar = [house.folder / "Cellar" / each for each in (OLD, NEW)]
    for folder, each in zip(cellar, (OLD, NEW), strict=True):
        folder.mkdir(parents=True)
        fake_ollama.program(folder, each)
    link = house.folder / "bin" / "ollama"
    link.parent.mkdir()
    link.symlink_to(cellar[0] / "ollama")
    house.configure(ollama={"binary": str(link)})
    house.up().until_ready()
    serves = f'[ "$1" = --version ] && echo "Warning: client version is {NEW}" && exit; exit 1'
    (cellar[1] / "ollama").write_text(f"#!/bin/sh\n{serves}\n")
    fresh = link.with_name("fresh")
    fresh.symlink_to(cellar[1] / "ollama")
    fresh.replace(link)
    words = told(house, "To go back")
    assert f"Ollama {OLD} is still at {cellar[0] / 'ollama'}; name it in server.yaml, ollama.binary." in words
    assert "To go back" in house.child()["reason"]
    house.configure(ollama={"binary": str(cellar[0] / "ollama")})
    house.until_ready(60)
    assert version(house) == OLD


def test_one_that_was_left_running_by_a_killed_controller_is_known_to_the_next(make_house: MakeHouse) -> None:
    house = running_old(make_house)
    before = house.child()["pid"]
    house.kill()
    fake_ollama.program(house.folder, NEW)
    house.up().until_ready()
    assert house.child()["pid"] == before
    until(lambda: version(house) == NEW, seconds=60)


def spoil(house: FakeHouse, script: str) -> None:
    """Another file takes the place of the program."""
    draft = house.folder / "spoilt"
    draft.write_text(f"#!/bin/sh\n{script}\n")
    draft.chmod(0o755)
    draft.replace(house.folder / "ollama")
