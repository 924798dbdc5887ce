"""Joining, signing in and being signed out elsewhere, in a real browser: keyboard, small screen, both themes, axe."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.auth.public import ONLY_HERE
from controller.config.processes import TunnelSettings
from controller.config.schema import Config, Server
from tests.kit.browser import Tab, browsing
from tests.kit.front_door import PASSWORD, FrontDoor, front_door

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="set-up installs Chromium on Linux only")

AXE = Path(__file__).parents[1] / "kit" / "axe" / "axe.min.js"
NEW = "octopuses have three hearts"
SHOTS = os.environ.get("SEADRAGON_SHOTS")  # a folder: the pages are photographed into it, to be looked at
FAULTS = """axe.run().then(found => JSON.stringify(
  found.violations.map(each => [each.id, each.nodes.map(node => node.html + " " + node.failureSummary)])))"""


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[FrontDoor]:
    async with front_door(tmp_path) as opened:
        yield opened


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browsing(tmp_path / "profile") as opened:
        yield opened


async def typed(tab: Tab, text: str) -> None:
    await tab.call("Input.insertText", text=text)


async def key(tab: Tab, name: str) -> None:
    codes = {"Tab": 9, "Enter": 13}
    extra = {"text": "\r"} if name == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        await tab.call(
            "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name], **extra
        )


async def sign_in(tab: Tab, door: FrontDoor, name: str) -> None:
    await tab.open(f"{door.url}/login")
    await tab.value("document.getElementById('name').focus()")
    await typed(tab, name)
    await key(tab, "Tab")
    await typed(tab, PASSWORD)
    await key(tab, "Enter")
    await tab.until("location.pathname !== '/login' && document.readyState === 'complete'")


async def test_join_then_sign_in_again_and_sign_the_other_tab_out(door: FrontDoor, tab: Tab, tmp_path: Path) -> None:
    _, invite = await door.holders.invites.create("child", uses=1, lasts=3600, label="Mia", by="tests")
    await tab.open(f"{door.url}/join#{invite.text}")
    await tab.until("document.querySelector('[data-fragment]').hidden && document.activeElement.id === 'name'")
    assert await tab.value("location.href") == f"{door.url}/join"  # the code is out of sight, and out of the history
    await typed(tab, "Mia")
    await key(tab, "Tab")
    await typed(tab, PASSWORD)
    await key(tab, "Enter")
    await tab.until("document.querySelector('h1')?.textContent === 'Hello Mia'")
    assert await tab.value("document.cookie") == ""  # no script can read it
    async with browsing(tmp_path / "other") as other:
        await sign_in(other, door, "mia")
        await tab.call("Page.navigate", url=f"{door.url}/account/devices")
        await tab.until("document.querySelectorAll('.rows li').length === 2")
        await tab.value("document.querySelector('[name=end][value=others]').click()")
        await tab.until("document.querySelectorAll('.rows li').length === 1")
        await other.call("Page.reload")
        await other.until("location.pathname === '/login'")
        assert other.complaints == []
    await tab.value("document.querySelector('[action=\"/logout\"] button').click()")
    await tab.until("location.pathname === '/login'")
    assert len(door.holders.sessions) == 0
    assert tab.complaints == []


async def test_without_scripts_one_joins_too(door: FrontDoor, tab: Tab) -> None:
    _, invite = await door.holders.invites.create("member", uses=1, lasts=3600, label="Opa", by="tests")
    await tab.open(f"{door.url}/join", scripts=False)
    for text in (invite.text, "Opa", PASSWORD):
        name = {invite.text: "token", PASSWORD: "password"}.get(text, "name")
        await tab.value(f"document.getElementById('{name}').focus()")
        await typed(tab, text)
    await key(tab, "Enter")
    await tab.call("Emulation.setScriptExecutionDisabled", value=False)  # `until` is a script itself
    await tab.until("location.pathname === '/account'")
    assert door.holders.users.named("opa") is not None


async def test_a_refusal_is_told_beside_its_field_and_the_name_stays(door: FrontDoor, tab: Tab) -> None:
    await door.person("mia")
    await tab.open(f"{door.url}/login")
    await tab.value("document.getElementById('name').focus()")
    await typed(tab, "Mia")
    await key(tab, "Tab")
    await typed(tab, "wrong horse")
    await key(tab, "Enter")
    await tab.until("document.querySelector('[role=alert]')")
    assert await tab.value("document.querySelector('[role=alert]').textContent") == (
        "That name and password do not belong together."
    )
    assert await tab.value("document.getElementById('name').value") == "Mia"
    assert await tab.value("document.getElementById('password').value") == ""


async def test_an_admin_makes_an_invite_whose_link_lets_somebody_in(door: FrontDoor, tab: Tab, tmp_path: Path) -> None:
    await door.person("owner", "admin")
    await sign_in(tab, door, "owner")
    await tab.call("Page.navigate", url=f"{door.url}/admin/invites")
    await tab.until("document.getElementById('label')")
    await tab.value("document.getElementById('label').value = 'Opa'; document.querySelector('[name=make]').click()")
    await tab.until("document.getElementById('link')")
    link = await tab.value("document.getElementById('link').textContent")
    assert await tab.value("document.querySelector('.qr')") is None  # no phone could follow it
    assert (await tab.value("document.querySelector('[role=alert]').textContent")).startswith(ONLY_HERE)
    assert tab.complaints == []
    async with browsing(tmp_path / "opa") as opa:
        await opa.open(link)
        await opa.until("document.querySelector('[data-fragment]').hidden")
        assert opa.complaints == []
    door.desk.config = Config(server=Server(tunnel=TunnelSettings(mode="token", hostnames=("ai.example.org",))))
    await tab.value("document.getElementById('label').value = 'Oma'; document.querySelector('[name=make]').click()")
    await tab.until("document.getElementById('link')?.textContent.startsWith('https://ai.example.org/join#')")
    assert await tab.value("document.querySelector('.qr svg').getBoundingClientRect().width") > 150
    assert await tab.value("document.querySelector('[role=alert]')") is None


async def pages(door: FrontDoor) -> list[tuple[str, str]]:
    """Every page, by a name and its path; whoever looks is signed in as an admin."""
    await door.person("owner", "admin")
    await door.holders.keys.create(
        "notebook with a rather long name", by="tests", user_id=next(iter(door.holders.users))
    )
    await door.holders.invites.create("child", uses=3, lasts=3600, label="Mia and her friends", by="owner")
    return [
        ("account", "/account"),
        ("devices", "/account/devices"),
        ("invites", "/admin/invites"),
        ("again", "/account/again"),
        ("home", "/"),
    ]


async def looked_at(tab: Tab, name: str, theme: str) -> None:
    """Both widths: nothing sticks out, everything is large enough, axe finds nothing; photographed, if so wished."""
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    for width, height in ((390, 844), (1280, 860)):
        await tab.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        assert await tab.value("document.documentElement.scrollWidth") <= width, name
        small = await tab.value(
            "[...document.querySelectorAll('button:not([hidden]), .btn, .field input, select, summary')]"
            ".filter(e => e.offsetParent && e.type !== 'checkbox' && e.getBoundingClientRect().height < 44)"
            ".map(e => e.outerHTML).join()"
        )
        assert small == "", name
        faults = json.loads(await tab.value(AXE.read_text() + FAULTS))
        assert faults == [], f"{name} {theme} {width}"
        if SHOTS:
            shot = await tab.call("Page.captureScreenshot", captureBeyondViewport=True)
            picture = Path(SHOTS, f"{name}-{theme}-{width}.png")
            await asyncio.to_thread(picture.write_bytes, base64.b64decode(shot["data"]))


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_is_fit_for_everybody(door: FrontDoor, tab: Tab, theme: str) -> None:
    for name in ("login", "join", "reset", "admin-code"):
        await tab.open(f"{door.url}/{name}")
        await looked_at(tab, name, theme)
    shown = await pages(door)
    await sign_in(tab, door, "owner")
    for name, path in shown:
        await tab.call("Page.navigate", url=door.url + path)
        await tab.until(f"location.pathname === '{path}' && document.readyState === 'complete'")
        await looked_at(tab, name, theme)
    await tab.call("Page.navigate", url=f"{door.url}/admin/invites")
    await tab.until("document.getElementById('label')")
    await tab.value("document.getElementById('label').value = 'Opa'; document.querySelector('[name=make]').click()")
    await tab.until("document.getElementById('link')")
    await looked_at(tab, "invite-made", theme)
    assert tab.complaints == []
