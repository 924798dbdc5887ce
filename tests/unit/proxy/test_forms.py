"""The model that a form names, when there is no doubt about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.forms import model_of
from tests.kit.examples import examples

KIND = b"multipart/form-data; boundary=xYz"


def form(*fields: tuple[str, bytes], boundary: bytes = b"xYz") -> bytes:
    parts = (
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary, name.encode(), value)
        for name, value in fields
    )
    return b"".join(parts) + b"--%b--\r\n" % boundary


@pytest.mark.parametrize("name", ['name="model"', "name=model", 'name="Model"'])
def test_the_field_is_found_and_its_place_too(name: str) -> None:
    body = form(('name="file"; filename="model*.wav"', b"\x00model\xff"), (name, b"whisper-1"), ('name="x"', b""))
    found = model_of(body, KIND)
    assert found is not None
    assert found[0] == "whisper-1"
    assert body[found[1][0] : found[1][1]] == b"whisper-1"


def test_a_quoted_boundary_is_one_too() -> None:
    body = form(('name="model"', b"m"), boundary=b"a b")
    assert model_of(body, b'multipart/form-data; boundary="a b"') is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        form(),
        form(('name="file"', b"m")),
        form(('name="model"', b"m"), ('name="model"', b"n")),
        form(("name*=utf-8''model", b"m"), ('name="model"', b"n")),
        form(('name="mod\\"el"', b"m"), ('name="model"', b"n")),
        form(('name="model"', b"")),
        form(('name="model"', b"m" * 601)),
        form(('name="model"', b"m")).replace(b"\r\n", b"\n"),
        form(('name="model"', b"m"))[:-4],
        b"preamble\r\n" + form(('name="model"', b"m")),
    ],
)
def test_a_doubtful_form_has_none(body: bytes) -> None:
    assert model_of(body, KIND) is None


@examples(300)
@given(st.binary(max_size=200), st.binary(max_size=40))
def test_no_form_upsets_it(body: bytes, kind: bytes) -> None:
    model_of(body, kind)
    model_of(form(('name="file"', body), ('name="model"', b"m")), KIND)
