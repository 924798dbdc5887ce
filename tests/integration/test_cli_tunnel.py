"""`seadragon tunnel import`: another's configuration is read, ours is printed or written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli import main
from controller.config.load import load

THEIRS = """tunnel: abc
credentials-file: {credentials}
ingress:
  - hostname: ai.example.org
    service: http://localhost:8420
  - hostname: old.example.org
    service: http://localhost:11434
  - service: http_status:404
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    credentials = tmp_path / "abc.json"
    credentials.write_text("{}")
    credentials.chmod(0o600)
    file = tmp_path / "config.yml"
    file.write_text(THEIRS.format(credentials=credentials))
    return file


def call(theirs: Path, *words: str) -> Result:
    folders = [word for name in ("config", "data", "logs") for word in (f"--{name}", str(theirs.parent / name))]
    return CliRunner().invoke(main, ["tunnel", "import", str(theirs), *words, *folders])


def test_the_lines_are_printed_and_a_name_that_goes_round_us_is_told(theirs: Path) -> None:
    result = call(theirs)
    assert result.exit_code == 0
    assert (
        result.stdout
        == f"tunnel:\n  mode: named\n  tunnel_id: abc\n  credentials_file: {theirs.parent}/abc.json\n"
        + ("  hostnames: [ai.example.org]\n")
    )
    assert "Left out: old.example.org" in result.stderr
    assert "asks nobody for a key" in result.stderr
    assert not (theirs.parent / "config" / "server.yaml").exists()


def test_written_they_are_what_runs_and_the_original_is_as_it_was(theirs: Path) -> None:
    mine, before = theirs.parent / "config" / "server.yaml", theirs.read_bytes()
    mine.write_text("hold: 61s   # mine\n")
    result = call(theirs, "--write", "--hostname", "Old.example.org")
    assert result.exit_code == 0, result.output
    server = load(mine.parent, {}).config.server
    assert (server.tunnel.mode, server.tunnel.hostnames, server.hold) == (
        "named",
        ("ai.example.org", "old.example.org"),
        61,
    )
    assert mine.read_text().startswith("hold: 61s   # mine\n")
    assert theirs.read_bytes() == before


def test_a_result_that_would_not_hold_is_not_written(theirs: Path) -> None:
    mine = theirs.parent / "config" / "server.yaml"
    mine.write_text("tunnel:\n  hostnames: [\n    a.example.org]\n")
    result = call(theirs, "--write")
    assert result.exit_code == 1
    assert mine.read_text() == "tunnel:\n  hostnames: [\n    a.example.org]\n"


def test_a_tunnel_that_leads_nowhere_near_us_needs_a_name(theirs: Path) -> None:
    theirs.write_text("tunnel: abc\ningress:\n- service: http_status:404\n")
    result = call(theirs)
    assert result.exit_code == 1
    assert "--hostname NAME" in result.output
