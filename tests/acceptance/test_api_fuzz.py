"""The management API of a whole Seadragon against whatever its own description allows, and what it does not.

schemathesis reads the OpenAPI document, makes requests of it, sound and broken ones, alone and in sequences that follow
ids from one answer into the next request, and holds each answer against the document.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeHouse
from tests.acceptance.test_door import key
from tests.kit import web
from tests.kit.house import FakeHouse

TOP = Path(__file__).parents[2]
CALLERS = {"a stranger": (), "a program": ("infer", "embed"), "an admin": ("infer", "embed", "manage", "admin")}
LIMIT = 200.0  # seconds for each of them: in all less than ten minutes
EXAMPLES = 60  # of each operation
LEAST = 1500  # requests: fewer would mean that most of the document was not understood
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SETTINGS = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""  # 503 is documented, and what a busy machine answers


@pytest.fixture
def house(make_house: MakeHouse) -> FakeHouse:
    one = make_house()
    one.write("access", {"allow": [], "rates": {"key": 1_000_000}})  # how often is not what this is about
    one.up().until_ready()
    return one


def schemathesis() -> list[str]:
    """The command, in an environment of its own. Skips where it cannot be had."""
    uv = shutil.which(os.environ.get("UV", "uv"))
    if uv is None:
        pytest.skip("no uv, which brings schemathesis along")
    command = [uv, "run", f"--project={TOP}", "--quiet", "--locked", "--isolated", "--only-group=fuzz", "schemathesis"]
    had = subprocess.run([*command, "--version"], cwd=TOP, capture_output=True, text=True, timeout=300, check=False)
    if had.returncode != 0:
        pytest.skip(f"no schemathesis: {had.stderr.strip()[-200:]}")
    return command


def documented(house: FakeHouse, headers: dict[str, str], folder: Path) -> Path:
    """What the API says of itself, in a file. A model that there is stands in it for an example, so that some orders
    are carried out and not all refused.
    """
    answer = web.get(f"{house.url}/api/v1/openapi.json", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    for body in document["components"]["schemas"].values():
        if "model" in body["properties"]:
            body["properties"]["model"]["examples"] = ["tiny"]
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.proof
@pytest.mark.timeout(LIMIT + 300)
@pytest.mark.parametrize("caller", CALLERS)
def test_no_request_makes_the_api_fail_or_answer_what_it_does_not_tell(
    house: FakeHouse, tmp_path: Path, caller: str
) -> None:
    command, owner, admin = schemathesis(), key(house, "owner", "--may", "list"), caller == "an admin"
    description = documented(house, owner.header, tmp_path)
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    fuzzing = key(house, "fuzz", *(f"--may={scope}" for scope in CALLERS[caller])) if CALLERS[caller] else None
    shown = [] if fuzzing is None else [f"--header=X-API-Key:{fuzzing.text}"]
    run = subprocess.run(
        [*command, "run", str(description), f"--url={house.url}", f"--checks={CHECKS}", f"--max-examples={EXAMPLES}"]
        + ["--no-color", "--generation-database=none", "--warnings=off", *shown],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert run.returncode == 0, (run.stdout + run.stderr)[-10_000:]
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated is not None, run.stdout
    assert int(generated[1]) >= LEAST
    if fuzzing is not None:  # it has not shut itself out on the way, and what it may it still may
        with web.client(base_url=f"{house.url}/api/v1", headers=fuzzing.header, timeout=30) as api:
            assert api.get("/models").status_code == 200
            assert api.get("/keys").status_code == (200 if admin else 403)
