"""Refusals, in the shape each SDK reads."""

from __future__ import annotations

import json

import pytest

from controller.dialect import Dialect, StreamEnding
from controller.proxy.dialects import error_body, error_record, refusal_headers
from controller.refusal import Reason, Refused

TEXT = 'A "plain" sentence.\nWith é and \u2028.'


def test_ollamas_is_one_line_with_a_text() -> None:
    body = error_body(Dialect.NATIVE, 404, TEXT, "id")
    assert b"\n" not in body
    assert body.isascii()
    assert json.loads(body) == {"error": TEXT}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (403, "permission_error"), (404, "not_found_error"), (503, "api_error")],
)
def test_openais_has_a_type(status: int, kind: str) -> None:
    error = json.loads(error_body(Dialect.OPENAI, status, TEXT, "id"))["error"]
    assert error == {"message": TEXT, "type": kind, "param": None, "code": None}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (413, "request_too_large"), (503, "overloaded_error"), (502, "api_error")],
)
def test_anthropics_has_an_id(status: int, kind: str) -> None:
    told = json.loads(error_body(Dialect.ANTHROPIC, status, TEXT, "req"))
    assert told == {"type": "error", "error": {"type": kind, "message": TEXT}, "request_id": "req"}


def test_only_a_refusal_that_passes_invites_to_come_back() -> None:
    later = dict(refusal_headers(Refused(503, Reason.DOWN, "x", retry_after=5), 10))
    never = dict(refusal_headers(Refused(403, Reason.MANAGE, "x"), 10))
    assert later[b"retry-after"] == b"5"
    assert b"x-should-retry" not in later
    assert never[b"x-should-retry"] == b"false"


@pytest.mark.parametrize("ending", list(StreamEnding))
def test_an_error_record_is_whole_and_on_one_line_each(ending: StreamEnding) -> None:
    record = error_record(ending, TEXT, b"")
    for line in record.splitlines():
        if line.startswith(b"data: ") or line.startswith(b"{"):
            assert isinstance(json.loads(line.removeprefix(b"data: ")), dict)
    assert record.endswith(b"\n" if ending in (StreamEnding.DONE, StreamEnding.SUCCESS) else b"\n\n")
    assert b"[DONE]" not in record
