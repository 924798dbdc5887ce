"""A cloudflared configuration of before, in our words."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.config.document import read
from controller.config.foreign_tunnel import ForeignTunnel, block, put_in, services_of, settings, understand
from controller.config.load import understand as load
from controller.errors import SeadragonError

THEIRS = """
tunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef
credentials-file: /home/mia/.cloudflared/6ff42ae2.json
originRequest: {connectTimeout: 30s}
ingress:
  - hostname: AI.example.org
    service: http://localhost:8420/
  - hostname: old.example.org
    service: http://127.0.0.1:11434
  - hostname: photos.example.org
    path: /public
    service: https://localhost:9000
  - service: http_status:404
"""
OURS = services_of(["127.0.0.1:8420", "unix:/run/edge.sock"])


def foreign(text: str) -> ForeignTunnel:
    return understand(read(text.encode(), Path("/h/config.yml"), "tunnel"))


def test_who_it_is_and_which_names_lead_to_us_is_understood() -> None:
    found = foreign(THEIRS)
    assert found.id == "6ff42ae2-765d-4adf-8112-31c55c1551ef"
    assert found.credentials == "/home/mia/.cloudflared/6ff42ae2.json"
    assert found.leading_to(OURS) == ("ai.example.org",)
    assert found.to_engines() == {"old.example.org": "Ollama"}


@pytest.mark.parametrize(
    "service", ["http://localhost:8420", "http://127.0.0.1:8420/", "http://[::1]:8420", "unix:/run/edge.sock"]
)
def test_all_spellings_of_this_machine_are_us(service: str) -> None:
    assert ForeignTunnel("x", "y", {"a.b": service}).leading_to(OURS) == ("a.b",)


@pytest.mark.parametrize(
    "service", ["http://localhost:84201", "http://localhost.evil.example:8420", "tcp://localhost:8420"]
)
def test_what_only_looks_like_us_is_not(service: str) -> None:
    assert not ForeignTunnel("x", "y", {"a.b": service}).leading_to(OURS)


def test_credentials_lie_where_cloudflared_puts_them_when_nothing_is_said() -> None:
    assert foreign("tunnel: abc").credentials == "~/.cloudflared/abc.json"


@pytest.mark.parametrize(
    ("text", "words"), [("ingress: []", "its token"), ("- a", "its token"), ("a: [", "allowed: YAML")]
)
def test_a_file_that_names_no_tunnel_is_told(text: str, words: str) -> None:
    with pytest.raises(SeadragonError, match=words):
        foreign(text)


MINE = """# house
hold: 61s
tunnel:                           # the way in
  mode: off                       # off, token         [tunnel]
  binary:                         # empty: looked for  [tunnel]
  hostnames: []                   # public names       [tunnel]

# the end
drain: 62s
"""


def put(text: str) -> str:
    found = foreign(THEIRS)
    lines = settings(found, ["ai.example.org", "*.example.org"])
    return put_in(read(text.encode(), Path("/c/server.yaml"), "server"), text, lines)


def test_the_settings_take_their_place_and_every_other_line_stays_as_it_was() -> None:
    assert put(MINE) == MINE.replace(
        "tunnel:                           # the way in\n",
        "tunnel:                           # the way in\n"
        "  tunnel_id: 6ff42ae2-765d-4adf-8112-31c55c1551ef\n"
        "  credentials_file: /home/mia/.cloudflared/6ff42ae2.json\n",
    ).replace("mode: off  ", "mode: named").replace(
        "hostnames: []                   #", 'hostnames: [ai.example.org, "*.example.org"] #'
    )


@pytest.mark.parametrize("text", ["", "hold: 61s\n", "hold: 61s", "tunnel:\nhold: 61s\n", MINE])
def test_what_comes_out_can_be_read_and_says_what_was_meant(text: str) -> None:
    config = load({"server.yaml": put(text).encode()}, Path("/c"), {}, look_outside=False).config
    assert config.server.tunnel.mode == "named"
    assert config.server.tunnel.hostnames == ("ai.example.org", "*.example.org")
    assert config.server.hold == (61 if text else 60)


def test_the_block_is_yaml_of_ours() -> None:
    text = block(settings(ForeignTunnel("x", "/a b/c.json", {}), ["ai.example.org"]))
    tunnel = load({"server.yaml": text.encode()}, Path("/c"), {}, look_outside=False).config.server.tunnel
    assert str(tunnel.credentials_file) == "/a b/c.json"
