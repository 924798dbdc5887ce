"""Answering knows no HTTP server: a chat run and a batch job are answered by the code that answers a request."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[3] / "controller" / "answering"
HTTP = ("controller.proxy", "controller.api", "controller.pages", "starlette", "uvicorn", "fastapi")


@pytest.mark.parametrize("module", sorted(path.name for path in ROOM.glob("*.py")))
def test_answering_imports_nothing_of_whoever_serves_http(module: str) -> None:
    for node in ast.walk(ast.parse((ROOM / module).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.startswith(HTTP)]
