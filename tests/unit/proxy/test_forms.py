"""A form is read once, and what goes on is what was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy.forms import Form, read
from controller.refusal import Refused
from tests.kit.examples import examples

KIND = b"multipart/form-data; boundary=xYz"


def form(*fields: tuple[str, bytes], boundary: bytes = b"xYz", more: bytes = b"") -> bytes:
    parts = (
        b"--%b\r\nContent-Disposition: form-data; %b\r\n%b\r\n%b\r\n" % (boundary, name.encode(), more, value)
        for name, value in fields
    )
    return b"".join(parts) + b"--%b--\r\n" % boundary


def ask(body: bytes, kind: bytes = KIND, query: bytes = b"") -> Form:
    found = read(body, kind, query)
    assert isinstance(found, Form), found
    return found


FILE = ('name="file"; filename="a.wav"', b"\x00model\xff\r\n--xY")


@pytest.mark.parametrize(
    "name",
    ['name="model"', "name=model", 'x-name="a"; name="model"', 'name="model"; size=3', 'name="other"; name="model"'],
)
def test_what_goes_on_can_be_read_in_one_way_only(name: str) -> None:
    found = ask(form(FILE, (name, b"whisper-1"), ('name="x"', b"")))
    assert found.model == "whisper-1"
    sent = found.written("whisper:large")
    again = ask(sent, found.content_type)
    assert again.model == "whisper:large"
    assert [(part.name, part.filename, part.value) for part in again.parts] == [
        ("file", "a.wav", FILE[1]),
        ("model", None, b"whisper:large"),
        ("x", None, b""),
    ]
    assert sent.count(b'form-data; name="model"\r\n\r\nwhisper:large\r\n') == 1


def test_what_a_part_says_of_its_kind_stays_and_nothing_else_does() -> None:
    body = form(FILE, ('name="model"', b"m"), more=b"Content-Type: audio/wav\r\nX-Other: 1\r\n")
    sent = ask(body).written("m")
    assert b'filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' in sent
    assert b"X-Other" not in sent


@pytest.mark.parametrize(
    "boundary", [b"----WebKitFormBoundary7MA4", b"axios-1.7.9-boundary-x", b"----geckoformboundary9"]
)
def test_browsers_and_libraries_call_their_boundary_one(boundary: bytes) -> None:
    body = form(FILE, ('name="model"', b"m"), boundary=boundary)
    assert ask(body, b"multipart/form-data; boundary=" + boundary).model == "m"


@pytest.mark.parametrize(
    "kind", [b'multipart/form-data; boundary="xYz"', b"Multipart/Form-Data ; charset=utf-8; boundary=xYz"]
)
def test_a_boundary_may_be_written_in_several_ways(kind: bytes) -> None:
    assert ask(form(('name="model"', b"m")), kind).model == "m"


@pytest.mark.parametrize(
    "kind",
    [
        b"",
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"multipart/mixed; boundary=xYz",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=xYz; boundary=other",
        b"multipart/form-data; boundary=other; Boundary=xYz",
        b"multipart/form-data; boundary*=utf-8''xYz; boundary=other",
        b"multipart/form-data; boundary=other",
    ],
)
def test_a_form_behind_no_one_boundary_is_refused(kind: bytes) -> None:
    assert isinstance(read(form(('name="model"', b"m")), kind, b""), Refused)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        form(),
        form(('name="file"', b"m")),
        form(('name="model"', b"m"), ('name="model"', b"n")),
        form(('name="model"', b"m"), ('name="MODEL"', b"n")),
        form(('name="Model"', b"m")),
        form(('name="model"; filename="x"', b"m")),
        form(("name*=utf-8''model", b"m")),
        form(('name="model"', b"")),
        form(('name="model"', b"m" * 641)),
        form(('name="model"', b"m")).replace(b"\r\n", b"\n"),
        form(('name="model"', b"m"))[:-4],
        form(('name="model"', b"m")) + form(('name="model"', b"n")),
        form(('name="model"', b"m\r\n--xYz--\r\n")),
        b"preamble" + form(('name="model"', b"m")),
        form(('name="model"', b"m")).replace(b"form-data", b"attachment"),
        form(('name="model"', b"=6d"), more=b"Content-Transfer-Encoding: quoted-printable\r\n"),
        form(('name="model"', b"bQ=="), more=b"content-transfer-encoding: BASE64\r\n"),
        form(('name="model"', b"m"), ('name="a%0D%0Ab"', b"")),
        form(*[('name="x"', b"")] * 64, ('name="model"', b"m")),
        form(('name="model"', b"m"), more=b"X: " + b"y" * 5000 + b"\r\n"),
    ],
)
def test_a_doubtful_form_is_refused(body: bytes) -> None:
    assert isinstance(read(body, KIND, b""), Refused)


@pytest.mark.parametrize("query", [b"model=secret", b"a=1&Model=x", b"%6dodel=secret", b"x=1;model=y"])
def test_a_query_that_names_a_model_is_refused(query: bytes) -> None:
    assert isinstance(read(form(('name="model"', b"m")), KIND, query), Refused)


def test_a_query_that_names_none_is_not() -> None:
    assert ask(form(('name="model"', b"m")), KIND, b"api-version=2024-06-01").model == "m"


def test_nobody_can_write_a_file_that_ends_its_own_part() -> None:
    first = ask(form(FILE, ('name="model"', b"m")))
    mark = first.content_type.rpartition(b"=")[2]
    forged = b'x\r\n--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsecret' % mark
    second = ask(form(('name="file"; filename="a"', forged), ('name="model"', b"m")))
    assert second.content_type != first.content_type
    assert [part.name for part in ask(second.written("m"), second.content_type).parts] == ["file", "model"]


_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@examples(300)
@given(_NAMES, _NAMES, st.binary(max_size=200), st.binary(max_size=40))
def test_no_form_upsets_it_and_what_it_writes_it_reads(name: str, filename: str, body: bytes, kind: bytes) -> None:
    read(body, kind, kind)
    read(body, KIND, b"")
    found = read(form((f'name="{name}"; filename="{filename}"', body), ('name="model"', b"m")), KIND, b"")
    if isinstance(found, Form):
        again = ask(found.written("n"), found.content_type)
        assert again.model == "n"
        assert [part.value for part in again.parts if part.name != "model"] == [
            part.value for part in found.parts if part.name != "model"
        ]


@pytest.mark.parametrize("tail", [b"", b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("beside", range(-4, 16))
def test_it_does_not_matter_where_a_bite_ends(beside: int, tail: bytes) -> None:
    head = form(('name="model"', b"m"), FILE)
    much = b"x" * (2**20 - len(head) + beside)
    found = ask(form(('name="model"', b"m"), ('name="file"; filename="a.wav"', much)).removesuffix(b"\r\n") + tail)
    assert found.parts[1].value == much
