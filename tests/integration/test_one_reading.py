"""Who checks reads as who executes: what the gateway lets through is answered by the very model that it judged.

A real Ollama has three models that each say a word of their own. Bodies, names and forms are made in every way that
two readers might take differently; what the gateway would send of them goes to that Ollama, and its answer tells which
model it took them for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.engines.ollama.inside import inside_of
from controller.proxy import forms
from controller.proxy.adjust import Adjusted, Clamps, adjust, named
from controller.proxy.peek import peek
from controller.proxy.routes import ROUTES, Kind
from controller.refusal import Refused
from controller.residency.meaning import Meanings
from controller.spelling import full_name, parse
from tests.kit import real
from tests.kit.examples import examples
from tests.kit.models import speaker
from tests.kit.names import ABSENT, ELSEWHERE, MINE, NEVER, RED, SAME, TAGGED

SAYS: Final = {RED: "Ruby", MINE: "Sapphire", TAGGED: "Emerald"}
ROUTE: Final = {route.path: route for route in ROUTES}
ASKED: Final = (
    "/api/generate",
    "/api/chat",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
CONTEXT: Final = 8192  # tokens; each model has some more than the one before, by which /api/show tells them apart
CASES: Final = 20_000


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a real Ollama with three models that are called alike, and say which they are."""
    home = tmp_path_factory.mktemp("one-reading")
    with real.serve(home, home / "models", OLLAMA_KEEP_ALIVE="-1", OLLAMA_MAX_LOADED_MODELS="3") as running:
        for number, (name, word) in enumerate(SAYS.items()):
            running.add(speaker(f"m{number}", f"{word} speaks.", context=CONTEXT + number))
            with running.client() as client:
                assert client.post("/api/copy", json={"source": f"m{number}", "destination": name}).is_success
                assert client.request("DELETE", "/api/delete", json={"model": f"m{number}"}).is_success
        with running.client() as client:
            yield client


@dataclass(frozen=True)
class Judged:
    """What would go upstream, and for which model it was let through ("": none is named)."""

    body: bytes
    model: str
    content_type: str = "application/json"


def judged(path: str, body: bytes, redirects: Mapping[str, str] | None = None) -> Judged | None:
    """As the gateway does; None where it refuses."""
    route, meanings = ROUTE[path], Meanings(redirects)
    asked = peek(body, route.subject, route.names)
    if isinstance(asked, Refused):
        return None
    if route.kind is Kind.INFERENCE:
        found = adjust(body, asked, route, Clamps(meanings), inside_of(real.version()).at_load)
    else:
        found = named(body, asked, meanings)
    return Judged(found.body, found.model) if isinstance(found, Adjusted) else None


def spoke(answer: httpx.Response) -> str:
    """The model that answered; "" when none did."""
    if not answer.is_success:
        return ""
    found = [name for name, word in SAYS.items() if word in answer.text]
    assert len(found) <= 1, answer.text
    return found[0] if found else ""


# --- names ---


def shown(client: httpx.Client, name: str) -> str:
    """Which of the models /api/show tells of; "" when it tells of none."""
    answer = client.post("/api/show", json={"model": name})
    if not answer.is_success:
        return ""
    more: int = answer.json()["model_info"]["llama.context_length"] - CONTEXT
    return list(SAYS)[more]


def test_ollama_reads_every_name_of_the_table_as_it_says(ollama: httpx.Client) -> None:
    assert {written: shown(ollama, written) for written in SAME} == dict(SAME)
    assert {written: shown(ollama, written) for written in (*NEVER, *ELSEWHERE, *ABSENT)} == dict.fromkeys(
        (*NEVER, *ELSEWHERE, *ABSENT), ""
    )


def test_what_is_sent_of_a_name_is_read_alike_by_every_part_of_ollama(ollama: httpx.Client) -> None:
    for written, model in SAME.items():
        name = parse(written)
        assert name is not None
        assert shown(ollama, name.written) == model
        copied = ollama.post("/api/copy", json={"source": name.written, "destination": "copy"})
        assert copied.is_success, written
        assert shown(ollama, "copy") == model
        assert ollama.request("DELETE", "/api/delete", json={"name": "copy"}).is_success


_LETTERS = st.sampled_from("rRedDlL8bB:/._-@ \tlibrarymeédemo://")
_NAMES = (
    st.sampled_from([*SAME, *NEVER, *ABSENT])
    | st.text(_LETTERS, max_size=24)
    | st.tuples(
        st.sampled_from(["", "demo://", "https://", "://", "x/"]),
        st.sampled_from(["", "/", "registry.ollama.ai/", "Registry.Ollama.ai/", "hf.co/"]),
        st.sampled_from(["", "library/", "me/", "/", "LIBRARY/"]),
        st.sampled_from(["red", "RED", "re\u200bd", ""]),
        st.sampled_from(["", ":latest", ":8b", ":8B", ":", ":local", ": local ", ":8b:local", ":latest:local"]),
        st.sampled_from(["", " ", "\n", "\u00a0"]),
    ).map("".join)
)


def check_name(ollama: httpx.Client, text: str) -> None:
    took = shown(ollama, text)
    assert took in (full_name(text), ""), text
    if full_name(text) in SAYS:
        name = parse(text)
        assert name is not None
        assert took == shown(ollama, name.written) == full_name(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_NAMES)
def test_a_name_is_the_one_that_ollama_takes_it_for(ollama: httpx.Client, text: str) -> None:
    check_name(ollama, text)


# --- bodies ---

_KEYS = st.sampled_from(
    [
        "model",
        "model",
        "MODEL",
        "Model",
        "mod\\u0065l",
        "name",
        "Name",
        "prompt",
        "PROMPT",
        "messages",
        "input",
        "stream",
    ]
    + [
        "options",
        "Options",
        "keep_alive",
        "max_tokens",
        "note",
        "Note",
        "\\ud800",
        "mode\u006c",
        "\u017ftream",
        "think",
    ]
)
_TEXTS = st.sampled_from([*SAYS, "red", "me/red", "demo:///library/red", "rad", "", " red", "red:local"])
_SCALARS = (
    _TEXTS.map(json.dumps)
    | st.sampled_from(
        ["null", "null", "true", "false", "0", "3", "-1", '"\\ud800"', '"r\\u0065d"', '"say"', "[]", "{}"]
    )
    | st.sampled_from(['[{"role":"user","content":"hi"}]', '{"num_predict":3}', '{"num_predict":3,"num_predict":null}'])
)
_PAIRS = st.tuples(_KEYS, _SCALARS)
_QUESTION: Final = (
    ("messages", '[{"role":"user","content":"hi"}]'),
    ("prompt", '"hi"'),
    ("input", '"hi"'),
    ("max_tokens", "20"),
    ("stream", "false"),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """An object that asks something of some model, more or less."""
    pairs = draw(st.lists(_PAIRS, max_size=5))
    if draw(st.booleans()):
        pairs.append(("model", json.dumps(draw(_TEXTS))))
    if draw(st.integers(0, 3)):
        given = {key for key, _ in pairs}
        pairs += [each for each in _QUESTION if each[0] not in given]
    pairs = draw(st.permutations(pairs))
    gap, colon = draw(st.sampled_from(["", " ", "\n  "])), draw(st.sampled_from(["", " "]))
    text = "{" + f",{gap}".join(f'"{key}":{colon}{value}' for key, value in pairs) + "}"
    before, after = (
        draw(st.sampled_from(["", " ", "\ufeff", "null "])),
        draw(st.sampled_from(["", "", "\n", " trailing", '{"model":"red:8b"}', "}", ',"model":"me/red"}'])),
    )
    return (before + text + after).encode("utf-8", "surrogatepass")


def check_body(ollama: httpx.Client, path: str, body: bytes) -> None:
    found = judged(path, body)
    if found is None:
        return
    answer = ollama.post(path, content=found.body, headers={"Content-Type": found.content_type})
    model = spoke(answer)
    assert model in (full_name(found.model), ""), (path, body, found, answer.text)
    if not found.model:
        assert not answer.is_success, (path, body, found, answer.text)


_LENIENT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(examples(150), suppress_health_check=_LENIENT)
@given(path=st.sampled_from(ASKED), body=bodies())
def test_the_model_that_answers_is_the_one_that_was_judged(ollama: httpx.Client, path: str, body: bytes) -> None:
    check_body(ollama, path, body)


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("model", SAYS)
def test_and_each_model_does_answer(ollama: httpx.Client, path: str, model: str) -> None:
    """Else the test above would hold for an Ollama that never says anything."""
    body = {"model": model, **{key: json.loads(value) for key, value in _QUESTION}}
    found = judged(path, json.dumps(body).encode())
    assert found is not None
    assert spoke(ollama.post(path, content=found.body)) == model


# --- forms ---

_FIELDS = st.sampled_from(
    ['name="model"', "name=model", 'name="Model"', 'x-name="model"; name="x"', 'name="x"; name="model"', 'name="note"']
    + ["name*=utf-8''model", 'name="mod\\el"', 'name="file"; filename="a.wav"', 'name="model"; filename="m"']
)
_VALUES = st.sampled_from([b"one", b"two", b"three", b"", b"=6fne", b"x\r\n--b\r\n", b"\r\n--b--\r\n"])
_MORE = st.sampled_from(
    ["", "", "", "Content-Type: text/plain\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", "x: y\r\n z\r\n"]
)
_KINDS = st.sampled_from(
    [
        "multipart/form-data; boundary=b",
        'multipart/form-data; boundary="b"',
        "multipart/form-data; boundary=b; boundary=c",
    ]
    + ["multipart/form-data; charset=x; Boundary=b", "multipart/mixed; boundary=b", "application/x-www-form-urlencoded"]
)
_QUERIES = st.sampled_from(["", "", "", "model=two", "x=1", "%6dodel=two", "Model=two", "x=1;model=two", "model"])


@st.composite
def a_form(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Content-Type, query and body of a form that names models of which there is none."""
    fields = draw(st.lists(st.tuples(_FIELDS, _MORE, _VALUES), max_size=4))
    if draw(st.booleans()):
        fields.append(('name="model"', "", b"one"))
    fields.append(('name="file"; filename="a.wav"', "", b"RIFF"))
    parts = (
        f"--b\r\nContent-Disposition: form-data; {name}\r\n{more}\r\n".encode() + value + b"\r\n"
        for name, more, value in draw(st.permutations(fields))
    )
    return draw(_KINDS), draw(_QUERIES), b"".join(parts) + b"--b--\r\n"


def check_form(ollama: httpx.Client, kind: str, query: str, body: bytes) -> bool:
    """Whether it was let through; what Ollama says it did not find is what was judged."""
    found = forms.read(body, kind.encode(), query.encode())
    if isinstance(found, Refused):
        return False
    name = parse(found.model)
    if name is None:
        return False
    answer = ollama.post(
        "/v1/audio/transcriptions",
        content=found.written(name.written),
        headers={"Content-Type": found.content_type.decode()},
    )
    assert not answer.is_success, (kind, query, body, answer.text)
    if answer.status_code != 404:  # it has no sound in it
        return False
    assert f"'{name.written}' not found" in answer.text, (kind, query, body, answer.text)
    return True


@settings(examples(150), suppress_health_check=_LENIENT)
@given(form=a_form())
def test_the_model_that_ollama_looks_for_is_the_one_the_form_was_judged_by(
    ollama: httpx.Client, form: tuple[str, str, bytes]
) -> None:
    check_form(ollama, *form)


def test_and_a_plain_form_is_let_through(ollama: httpx.Client) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\none\r\n' + (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
    )
    assert check_form(ollama, "multipart/form-data; boundary=b", "", body)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@settings(max_examples=CASES, suppress_health_check=_LENIENT)
@given(
    case=st.one_of(
        st.tuples(st.sampled_from(ASKED), bodies()), st.tuples(st.sampled_from(ASKED), bodies()), _NAMES, a_form()
    )
)
def test_twenty_thousand_bodies_names_and_forms_find_no_second_reading(
    ollama: httpx.Client, case: tuple[str, bytes] | tuple[str, str, bytes] | str
) -> None:
    match case:
        case str():
            check_name(ollama, case)
        case (path, body):
            check_body(ollama, path, body)
        case (kind, query, body):
            check_form(ollama, kind, query, body)


# --- lengths ---


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": 0.5}}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 1}),
        ("/v1/completions", {"prompt": "hi", "max_completion_tokens": 1}),
        ("/v1/responses", {"input": "", "instructions": "hi"}),
        ("/v1/responses", {"instructions": "hi"}),
    ],
)
def test_no_answer_is_longer_than_the_bound_that_was_read(
    ollama: httpx.Client, path: str, asked: dict[str, object]
) -> None:
    """One token, of a model that would say two words."""
    body = json.dumps({"model": RED, "stream": False, **asked}).encode()
    peeked = peek(body, ROUTE[path].subject)
    assert not isinstance(peeked, Refused)
    found = adjust(body, peeked, ROUTE[path], Clamps(Meanings(), max_tokens=1), inside_of(real.version()).at_load)
    assert isinstance(found, Adjusted)
    answer = ollama.post(path, content=found.body)
    assert answer.is_success
    assert "Ruby" in answer.text
    assert "speaks" not in answer.text
