"""Looking at what is kept: the database, who is kept out, certificates and secrets. Changes nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from controller import tls
from controller.auth.barred import REMEDY
from controller.config.schema import Config
from controller.doctor.findings import CertificateSeen, Secret, Stored
from controller.errors import SeadragonError
from controller.files import private_file_fault
from controller.storage.backup import FOLDER, newest
from controller.storage.barred import NAME as BARRED
from controller.storage.barred import BarredFile
from controller.storage.file import NAME, damage, looking, not_ours
from controller.storage.migrate import revision_of, revisions, steps

SECRETS = "secrets"  # the folder in the data folder where sessions' keys lie


def certificates(config: Config) -> Iterator[CertificateSeen]:
    """Of each listener that has one."""
    for listener in config.server.listeners:
        cert, key = listener.tls.cert, listener.tls.key
        if cert is not None and key is not None:
            try:
                yield CertificateSeen(listener.address, tls.check(cert, key, time.time()).ends)
            except tls.CertificateFault as fault:
                yield CertificateSeen(listener.address, fault=f"{cert if fault.part == 'cert' else key} is {fault}")


def secrets(config: Config, data: Path) -> Iterator[Secret]:
    """What the YAML names, and what we keep ourselves."""
    tunnel = config.server.tunnel
    named = {"token": tunnel.token_file, "named": tunnel.credentials_file}.get(tunnel.mode)
    keys = [listener.tls.key for listener in config.server.listeners]
    own = sorted((data / SECRETS).iterdir()) if (data / SECRETS).is_dir() else []
    for path in (named, *keys, *own):
        if path is not None:
            fault = private_file_fault(path)
            yield Secret(path, fault or "", 0 if fault else path.stat().st_size)


def rights(data: Path, running: Mapping[str, object] | None) -> Iterator[str]:
    """What is the matter with who is kept out: as the controller says, else as the file beside the database does."""
    if running is not None:
        told = running.get("rights")
        troubles = told.get("troubles", ()) if isinstance(told, dict) else ()
        yield from map(str, troubles)
        return
    try:
        known = BarredFile(data / BARRED).read()
    except SeadragonError as error:
        yield f"{error} While the database can be read, the next start writes it anew."
    else:
        if known is not None and known.lost:
            yield f"{known.lost} {REMEDY}"


def admins(file: Path) -> int | None:
    """None before there are people at all."""
    if not_ours(file) is not None or not file.exists():
        return None
    try:
        with looking(file) as connection:
            (count,) = connection.execute("SELECT count(*) FROM users WHERE role = 'admin' AND NOT disabled").fetchone()
    except (sqlite3.Error, SeadragonError):
        return None
    return int(count)


def database(data: Path) -> Stored | None:
    """None before the first start."""
    path = data / NAME
    if not os.path.lexists(path):
        return None
    if fault := not_ours(path):
        return Stored(path, fault=fault.words, remedy=fault.remedy)
    try:
        found = damage(path) or ""
        behind = 0 if found else len(steps(revision_of(path), revisions()))
    except SeadragonError as error:
        return Stored(path, fault=str(error), remedy="It is tried again by itself while Seadragon runs.")
    return Stored(path, path.stat().st_size, damage=found, behind=behind, copy=newest(data / FOLDER, time.time()))
