"""Commands that look, whether it runs or not: logs, doctor."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.group import FAILED, LOOK, main, places
from controller.control import client
from controller.errors import SeadragonError
from controller.paths import Paths

if TYPE_CHECKING:
    from controller.doctor.around import Hands
    from controller.doctor.mac import Proof


@main.command()
@places
@click.argument("name", default="controller")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added.")
@click.option("-n", "--lines", type=click.IntRange(0), default=40, show_default=True, help="How many to begin with.")
@click.option("--raw", is_flag=True, help="As it stands in the file.")
def logs(paths: Paths, name: str, follow: bool, lines: int, raw: bool) -> None:
    """The log of the controller, or of the child NAME."""
    from controller.logtail import Tail, in_words

    path = _log_file(paths, name)
    words: Callable[[str], str] = str if raw else in_words
    with Tail(path, lines) as tail:
        while (read := tail.read()) or follow:
            for line in read:
                click.echo(words(line))
            if not read:
                time.sleep(LOOK)


@main.command()
@places
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--mac", is_flag=True, help="What can only be proved on a Mac, and how.")
def doctor(paths: Paths, as_json: bool, mac: bool) -> None:
    """Look for everything that could be wrong, and say what to do."""
    from controller.doctor.checks import examine
    from controller.doctor.facts import gather
    from controller.doctor.mac import PROOFS

    if mac:
        _tell_proofs(PROOFS, as_json)
        return
    findings = examine(gather(paths, os.environ, _hands()))
    if as_json:
        click.echo(json.dumps([finding.to_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{click.style(f'{finding.verdict:<5}', fg=finding.colour)} {finding.name:<18} {finding.words}")
            if finding.remedy:
                click.echo(f"{'':<24} → {finding.remedy}")
    if any(finding.verdict == "fail" for finding in findings):
        sys.exit(FAILED)


def _log_file(paths: Paths, name: str) -> Path:
    """The file, in the folder the running controller writes to. Raises SeadragonError when there is none."""
    folder = paths.logs
    try:
        folder = Path(str(client.status(paths.socket)["logs"]))
    except SeadragonError:
        pass  # not running, or not ours to ask: the files are still there
    files = {"controller": folder / "controller.jsonl", **{file.stem: file for file in folder.glob("*.log")}}
    if name not in files or not files[name].exists():
        known = ", ".join(sorted(each for each, file in files.items() if file.exists()))
        raise SeadragonError(f"There is no log of '{name}' in {folder}. There is: {known or 'none yet'}.")
    return files[name]


def _hands() -> Hands:
    from controller.config.load import load
    from controller.config.schema import Config
    from controller.doctor.around import Hands
    from controller.doctor.outside import ask
    from controller.engines.looks import LOOKS
    from controller.obtain import find_program
    from controller.supervision.tools import run_tool

    def read(folder: Path, environment: Mapping[str, str]) -> tuple[Config, tuple[str, ...]]:
        loaded = load(folder, environment)
        return loaded.config, loaded.warnings

    return Hands(read, find_program, run_tool, ask, LOOKS)


def _tell_proofs(proofs: Iterable[Proof], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([proof.to_json() for proof in proofs], indent=2))
        return
    section = ""
    for number, proof in enumerate(proofs, 1):
        if proof.section != section:
            section = proof.section
            click.echo(click.style(section.upper(), bold=True) + "\n")
        click.echo(f"{number}. {proof.what}")
        for name, text in (("first", proof.first), ("run", proof.command), ("expect", proof.expect)):
            if text:
                click.echo(f"   {f'{name}:':<8}{text}")
        click.echo()
