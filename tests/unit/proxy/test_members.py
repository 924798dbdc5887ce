"""Reading the members of an object the way Go reads them, within bounds."""

from __future__ import annotations

import json
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.proxy import members
from controller.proxy.members import (
    LONGEST_MEMBER,
    MOST_ENTRIES,
    MOST_MARKS,
    MOST_MEMBERS,
    WATCHED,
    Top,
    entries,
    fold,
    read,
)
from controller.refusal import Refused
from tests.kit.examples import examples


def top(text: bytes) -> Top:
    found = read(text)
    assert isinstance(found, Top), found
    return found


def held(text: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in top(text).members.items()}


@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"a","model":null}',
        b'{"model":null,"model":"a"}',
        b'{"model":"a", "x":1, "MODEL":"a"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"Prompt":"x","prompt":null}',
        b'{"options":{"num_ctx":1},"options":{}}',
        '{"me\u017fsages":[],"messages":[1]}'.encode(),
        '{"\u212aeep_alive":0,"keep_alive":1}'.encode(),
        b'{"x":"\\ud800","stream":true,"stream":true}',
        b'{"source":"a","source":"a"} trailing',
    ],
)
def test_a_watched_member_that_is_given_twice_is_refused(text: bytes) -> None:
    found = read(text)
    assert isinstance(found, Refused)
    assert found.status == 400
    assert "twice" in found.text


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"A":2}',
        b'{"Model":"m"}',
        b'{"model":"m"} trailing',
        b'{"model":"m"}{"model":"other"}',
        b'{"model":"m","note":"\\ud800"}',
        b'[] {"model":"m"}',
        b'null"x"',
    ],
)
def test_whatever_leaves_a_doubt_is_told(text: bytes) -> None:
    assert not top(text).sure


@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"m","x":[1,2]}',
        b'{"model": "m", "x": [1, 2]}',
        b' \n{\n  "model" : "m" ,\t"maxTokens":1 } \r\n',
        b'{"mod\\u0065l":"m"}',
        b'{"model":"m","note":"\xff \\ud83d\\ude00 \\\\ud800"}',
        b"{}",
        b"",
        b" ",
        b"[]",
        b"null",
        b"3 ",
    ],
)
def test_what_can_be_read_in_one_way_only_leaves_none(text: bytes) -> None:
    assert top(text).sure


def test_what_is_written_anew_is_what_was_read() -> None:
    assert top(b'{"a":1, "Model" : "m", "A":{"b": 2}} x').written({}) == b'{"a":{"b": 2},"model":"m"}'
    assert top(b'{"model":"m","x":[1, 2]}').written({"model": None, "new": b"3"}) == b'{"x":[1, 2],"new":3}'
    assert top(b'[1] {"model":"m"}').written({}).strip() == b"[1]"
    half = b'{"a":"\\ud800 \\ud83d\\ude00 \\\\ud800 \\udc00","model":"m"}'
    assert top(half).written({}) == b'{"a":"\\ufffd \\ud83d\\ude00 \\\\ud800 \\ufffd","model":"m"}'


_PIECES = ("\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\\\", "\\n", '\\"', "a", "\\u0041", "\\\\ud83d", "é", '","x":"')


@examples(1000)
@given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_halves_of_pairs_are_read_as_go_reads_them_and_whole_ones_stay(text: str) -> None:
    body = f'{{"note":"{text}","model":"m"}}'
    wanted = re.sub("[\ud800-\udfff]", "\ufffd", json.dumps(json.loads(body), ensure_ascii=False))
    assert json.loads(top(body.encode()).written({})) == json.loads(wanted)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "name of a member"),
        (b"{'model':1}", "name of a member"),
        (b'{"a":NaN}', "invalid character (byte 5)"),
        (b"\xef\xbb\xbf{}", "invalid character (byte 0)"),
        (b'{"a":1,}', "name of a member"),
        (b"nope", "invalid character"),
        (b'{"a" 1}', "a colon"),
        (b'{"a":1]', "a comma or a brace"),
        (b'{"a":1', "a comma or a brace"),
        (b'{"a":"b', "truncated"),
        (b'{"\\x":1}', "escape"),
    ],
)
def test_what_is_no_json_is_refused_and_told_where(text: bytes, why: str) -> None:
    found = read(text)
    assert isinstance(found, Refused)
    assert (found.status, found.text.startswith("The body is not valid JSON: ")) == (400, True)
    assert why in found.text


def test_only_what_is_watched_can_be_looked_at() -> None:
    found = top(b'{"model":"m","think":true}')
    assert (found.value("model"), found.value("stream")) == (b'"m"', None)
    with pytest.raises(AssertionError, match="think"):
        found.value("think")


def test_a_body_has_so_many_members_and_no_more() -> None:
    def body(count: int, gap: str) -> bytes:
        return ("{" + f",{gap}".join(f'"{number:x}":{gap}1' for number in range(count)) + "}").encode()

    for gap in ("", " ", "\n  "):
        assert len(held(body(MOST_MEMBERS, gap))) == MOST_MEMBERS
        found = read(body(MOST_MEMBERS + 1, gap))
        assert isinstance(found, Refused)
        assert "members" in found.text


def test_a_name_has_so_many_bytes_and_no_more() -> None:
    for start in (b'{"', b'{"a":1, "'):
        assert isinstance(read(start + b"x" * LONGEST_MEMBER + b'":1}'), Top)
        found = read(start + b"x" * (LONGEST_MEMBER + 1) + b'":1}')
        assert isinstance(found, Refused)
        assert "longer" in found.text


def test_colons_in_a_value_are_no_members_whatever_it_is_called() -> None:
    text = ":" * 100_000
    for name in ("suffix", "prompt", "Messages", "metadata", "whatever"):
        for value in (text, {text: text}, [{"a": text, "b": number} for number in range(2)]):
            assert isinstance(read(json.dumps({"model": "m", name: value}).encode()), Top)
    biases = {str(number): 1 for number in range(30_000)}
    assert isinstance(read(json.dumps({"model": "m", "logit_bias": biases}).encode()), Top)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def test_deep_nesting_is_refused() -> None:
    found = read(nested(200_000))
    assert isinstance(found, Refused)
    assert "deep" in found.text


def test_what_one_python_reads_and_another_finds_too_deep_is_refused_or_goes_on_as_it_came() -> None:
    found = read(nested(2_000))
    if isinstance(found, Top):  # Python 3.12 and newer
        assert bytes(found.members["a"]) == nested(2_000)[5:-1]
    else:
        assert found.status == 400


@pytest.mark.parametrize("end", [b"}", b"} x", b',"\\ud800":0}', b',"\xff":0}', b',"x":"\\ud800","\xff":0} trailing'])
def test_what_go_takes_is_read_without_being_unfolded(end: bytes) -> None:
    crowd = b"[],[" + b"[]," * 100_000 + b"0]"
    tracemalloc.start()
    try:
        found = top(b'{"model":"m","messages":[' + crowd + b'],"Keep_Alive":[' + crowd + b"]" + end)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.value("model") == b'"m"'
    assert most < 5 * 2**20  # some copies of the body; its many lists would take ten times as much


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'["a","b",[1,2]]', 3),
        (b'[ "a" , "b" ]', 2),
        (b'"a,b,c"', 1),
        (b"[]", 0),
        (b"null", 1),
        (b"[", 1),
        (b"", 1),
        (b"[" + b'"",' * 99 + b'""]', 100),
        (b"[" + b'"",' * 100 + b'""]', None),
        (b"[" + b'"' + b"," * 70_000 + b'",' + b"1]", 2),
        (b"[" + b'"",' * 6_000_000 + b'""]', None),
    ],
)
def test_entries_of_a_list_are_counted_as_far_as_they_may_be(value: bytes, found: int | None) -> None:
    assert entries(value, 100) == found


_KEYS = st.sampled_from(["model", "MODEL", "Model", "stream", "Keep_Alive", "messages", "note", "Note", 'a"b', "é", ""])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
)
_GAPS = st.sampled_from(["", " ", "\n\t"])


@examples(1000)
@given(
    st.lists(st.tuples(_KEYS, _VALUES), max_size=6),
    st.sampled_from(["", " ", "\n", "}", " {}", "garbage"]),
    _GAPS,
    _GAPS,
    st.booleans(),
)
def test_it_agrees_with_go_or_refuses(
    pairs: list[tuple[str, object]], after: str, gap: str, colon: str, ascii_only: bool
) -> None:
    def dump(value: object) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, separators=("," + gap, ":" + colon))

    body = gap + "{" + f",{gap}".join(f"{dump(key)}:{colon}{dump(value)}" for key, value in pairs) + gap + "}" + after
    found = read(body.encode())
    folded = [fold(key) for key, _ in pairs]
    if any(folded.count(name) > 1 for name in WATCHED):
        assert isinstance(found, Refused)
        return
    assert isinstance(found, Top)
    once = len(set(folded)) == len(folded)
    assert found.sure == (
        once and not after.strip() and not any(fold(key) in WATCHED and fold(key) != key for key, _ in pairs)
    )
    assert json.loads(found.written({})) == {
        (fold(key) if fold(key) in WATCHED else next(one for one, _ in pairs if fold(one) == fold(key))): value
        for key, value in pairs
    }


@examples(1000)
@given(st.binary(max_size=200) | st.lists(st.sampled_from(
    [b"{", b"}", b",", b":", b" ", b'"model"', b'"m"', b"\\ud8", b'"\\ud800"', b"\xff", b"null", b"[", b"]", b'"a":1']
), max_size=14).map(b"".join))  # fmt: skip
def test_no_bytes_make_it_fail_and_what_it_writes_it_is_sure_of(text: bytes) -> None:
    found = read(text)
    if isinstance(found, Top) and found.other is None:
        again = top(found.written({}))
        assert again.sure
        assert {name: bytes(value) for name, value in again.members.items()} == held(text)


_LONG = st.lists(st.sampled_from(_PIECES), max_size=120).map("".join)
_SLIPS = st.sampled_from(["", "", '"', "]", "\\", "-"])


@examples(500)
@given(_LONG, st.sampled_from([128, 129, 130, 131, 133, 137]), st.integers(0, 900), _SLIPS)
def test_what_is_passed_over_in_bites_is_what_is_passed_over_at_once(
    text: str, bite: int, where: int, slip: str
) -> None:
    body = f'{{"note":"{text}","model":"m", "n":[-1.5e+30, {{"k":[true, null,"{text}"]}},{{}}] }}'
    body = body[:where] + slip + body[where:]

    def seen() -> object:
        found = read(body.encode())
        return 400 if isinstance(found, Refused) else (found.written({}), found.sure)

    whole = seen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "_BITE", bite)
        assert seen() == whole


def test_a_list_or_an_object_that_is_long_has_so_many_entries_and_no_more() -> None:
    for entry, opening, closing in ((b'"%b"', b"[", b"]"), (b'"%b":1', b"{", b"}")):
        for count in (MOST_ENTRIES, MOST_ENTRIES + 1):
            value = opening + b",".join([entry % (b"x" * 40)] * count) + closing
            found = read(b'{"model":"m","metadata":{"a":[' + value + b"]}}")
            assert isinstance(found, Top) == (count == MOST_ENTRIES)
    numbers = b"[" + b",".join([b"151643"] * 262_144) + b"]"  # a conversation as Ollama's `context` has it
    assert isinstance(read(b'{"model":"m","context":' + numbers + b"}"), Top)


def test_what_is_long_is_not_nested_deep() -> None:
    for depth, good in ((30, True), (33, False)):
        assert (
            isinstance(read(b'{"a":' + b"[" * depth + b'"' + b"x" * 3_000_000 + b'"' + b"]" * depth + b"}"), Top)
            == good
        )


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[%b]}' % b",".join([b"{}"] * (MOST_MARKS // 2)),
        b'{"messages":[%b]}' % b",".join([b'{"content":[%b]}' % b",".join([b'"\\\\"'] * 999)] * (MOST_MARKS // 999)),
        b'{"tools":[%b]}' % b",".join([b"[" * 500 + b"]" * 500] * (MOST_MARKS // 500)),
        b'{"options":{"stop":[%b]}}' % b",".join([b"1"] * MOST_MARKS),
    ],
)
def test_a_body_has_so_many_values_and_no_more_wherever_they_stand(body: bytes) -> None:
    found = read(body)
    assert isinstance(found, Refused)
    assert f"more than {MOST_MARKS} commas" in found.text


@pytest.mark.parametrize("text", [",", "[1,2],{}", '\\"",', "\\\\", '\\",[{'])
@pytest.mark.parametrize("before", range(4))
def test_what_stands_in_a_text_is_no_value(text: str, before: int) -> None:
    body = json.dumps({"prompt": "x" * before + text * MOST_MARKS, "model": "m"}).encode()
    assert held(body)["model"] == b'"m"'
