from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.change import Change, compare, differences
from controller.config.entry import Access
from controller.config.listening import LimitSettings, Listener
from controller.config.machine import Memory
from controller.config.models import Models, OneModel
from controller.config.processes import ChildSettings
from controller.config.schema import Config, Server
from controller.config.tree import Leaf, leaves
from controller.config.waiting import SomeWaits
from controller.engines.ollama.settings import OllamaSettings
from tests.kit.every_setting import base, other

LISTENER_NAME = ("server", "listeners", "*", "address")
SETTINGS = [leaf for leaf in leaves() if leaf.path != LISTENER_NAME]


def dotted(leaf: Leaf) -> str:
    """The setting as it is named in the base, where the first of many entries differs."""
    first = {"children": ".awake", "lanes": ".2", "models": ".red", "aliases": ".crimson"} | dict.fromkeys(
        ("allow", "listeners"), "[0]"
    )
    parts = [first[leaf.path[at - 1]] if part == "*" else f".{part}" for at, part in enumerate(leaf.path)]
    return "".join(parts).removeprefix(".")


def told(change: Change) -> set[str]:
    """Every field that a change names, wherever it stands."""
    by_child = [*change.drains.values(), *change.restarts.values()]
    return {*change.at_once, *(field for fields in by_child for field in fields)}


@pytest.mark.parametrize("leaf", SETTINGS, ids=dotted)
def test_a_changed_setting_touches_what_its_impact_says_and_nothing_else(leaf: Leaf) -> None:
    change, field = compare(base(), other(leaf.path)), dotted(leaf)
    owner = {"*": "awake"}.get(leaf.impact.target, leaf.impact.target)
    expected = {
        "at_once": Change(at_once=(field,)),
        "drains": Change(drains={owner: (field,)}),
        "restarts": Change(restarts={owner: (field,)}),
        "listener": Change(
            listeners_reopened=("127.0.0.1:8420",) if "listeners" in leaf.path else ("127.0.0.1:8420", "127.0.0.1:8421")
        ),
    }[leaf.impact.kind]
    assert len(change.sentences) == 1
    assert change == Change(**{**{name: getattr(expected, name) for name in EFFECTS}, "sentences": change.sentences})


EFFECTS = [name for name in Change.__dataclass_fields__ if name != "sentences"]


@given(st.sets(st.sampled_from([leaf.path for leaf in SETTINGS])))
def test_every_setting_that_differs_is_told_in_both_directions(ways: set[tuple[str, ...]]) -> None:
    changed = other(*ways)
    expected = {dotted(leaf) for leaf in SETTINGS if leaf.path in ways}
    for old, new in ((base(), changed), (changed, base())):
        change = compare(old, new)
        assert {each.field for each in differences(old, new)} == expected
        assert told(change) == {
            dotted(leaf) for leaf in SETTINGS if leaf.path in ways and leaf.impact.kind != "listener"
        }
        assert len(change.sentences) == len(expected)
        assert bool(change) == bool(ways)


@given(st.sets(st.sampled_from([leaf.path for leaf in leaves()])))
def test_a_configuration_does_not_differ_from_itself(ways: set[tuple[str, ...]]) -> None:
    assert compare(other(*ways), other(*ways)) == Change()
    assert not compare(other(*ways), other(*ways))


@given(st.sets(st.sampled_from([leaf.path for leaf in leaves()])))
def test_no_sentence_shows_a_value_that_may_be_a_secret(ways: set[tuple[str, ...]]) -> None:
    assert "secret-value" not in "\n".join(compare(base(), other(*ways)).sentences)


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (Config(server=Server(hold=90)), "server.hold 60 s → 90 s takes effect at once"),
        (
            Config(server=Server(limits=LimitSettings(body=2**26))),
            "server.limits.body 32 MiB → 64 MiB takes effect at once",
        ),
        (
            Config(server=Server(ollama=OllamaSettings(port=11500))),
            "server.ollama.port empty → 11500 restarts ollama when the answers in flight are finished",
        ),
        (
            Config(server=Server(memory=Memory(budget=33 * 2**30))),
            "server.memory.budget auto → 33 GiB takes effect at once",
        ),
        (
            Config(models=Models(redirect={"gpt-4o*": "red"})),
            "models.redirect {} → {gpt-4o*: red} takes effect at once",
        ),
        (Config(access=Access(hosts=("mini",))), "access.hosts [localhost] → [mini] takes effect at once"),
        (
            Config(server=Server(ollama=OllamaSettings(environment={"A": "b"}))),
            "server.ollama.environment restarts ollama when the answers in flight are finished",
        ),
        (
            Config(server=Server(limits=LimitSettings(connections=9))),
            "server.limits.connections 512 → 9 drains the listener and opens it again",
        ),
    ],
)
def test_a_change_is_said_in_one_plain_sentence(new: Config, sentence: str) -> None:
    assert compare(Config(), new).sentences == (sentence,)


def listening(*addresses: str) -> Config:
    return Config(server=Server(listeners=tuple(Listener(address=address) for address in addresses)))


def test_a_listener_is_its_address() -> None:
    change = compare(listening("127.0.0.1:1", "127.0.0.1:2"), listening("127.0.0.1:3", "127.0.0.1:1"))
    assert (change.listeners_added, change.listeners_removed) == (("127.0.0.1:3",), ("127.0.0.1:2",))
    assert change.listeners_reopened == ()
    assert len(change.sentences) == 2


def test_the_order_of_listeners_means_nothing() -> None:
    assert not compare(listening("127.0.0.1:1", "127.0.0.1:2"), listening("127.0.0.1:2", "127.0.0.1:1"))


def with_children(**commands: str) -> Config:
    return Config(server=Server(children={name: ChildSettings(command=(text,)) for name, text in commands.items()}))


def test_a_child_is_its_name() -> None:
    change = compare(with_children(a="x", b="y"), with_children(c="x", b="z"))
    assert (change.children_added, change.children_removed) == (("c",), ("a",))
    assert change.restarts == {"b": ("server.children.b.command",)}
    assert len(change.sentences) == 3


def test_an_allowed_entry_more_or_less_takes_effect_at_once() -> None:
    nobody = Config(access=Access(allow=()))
    fields = {
        f"access.allow[0].{name}" for name in ("label", "addresses", "lane", "manage", "through_tunnel", "models")
    }
    assert set(compare(nobody, Config()).at_once) == set(compare(Config(), nobody).at_once) == fields


def test_a_model_that_is_new_or_gone_says_all_that_is_set_for_it() -> None:
    without, one = Config(), OneModel(memory_gb=2, times=SomeWaits(gap=5))
    with_one = Config(models=Models(models={"red": one}))
    fields = {f"models.models.red.{name}" for name in ("preload", "pin", "memory_gb", "times.gap")}
    assert set(compare(without, with_one).at_once) == set(compare(with_one, without).at_once) == fields
