"""How fast passwords may be tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth.throttle import A_MINUTE, AN_HOUR, FORGOTTEN, LONGEST, REMEMBERED, Throttle, home_of

HOME, AWAY = "192.168.1.20", "198.51.100.7"


def passed(throttle: Throttle, account: str, address: str, now: float, *, known: bool = False) -> bool:
    return throttle.ask(account, address, now, known=known) == 0


def test_waits_double_from_a_fifth_of_a_second_to_twenty_five() -> None:
    throttle, now = Throttle(), 0.0
    waits: list[float] = []
    for _ in range(12):
        assert passed(throttle, "owner", f"10.0.{len(waits)}.1", now)  # each from somewhere else
        wait = throttle.ask("owner", f"10.1.{len(waits)}.1", now)
        waits.append(round(wait, 3))
        now += wait
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, *[LONGEST] * 5]


def test_a_refused_try_counts_for_nothing() -> None:
    throttle = Throttle()
    assert passed(throttle, "owner", AWAY, 0)
    waits = [throttle.ask("owner", AWAY, 0.1) for _ in range(100)]
    assert waits == [pytest.approx(0.1)] * 100
    assert passed(throttle, "owner", AWAY, 0.2001)


def test_tries_at_the_same_moment_are_no_way_around() -> None:
    throttle = Throttle()
    assert [passed(throttle, "owner", AWAY, 5.0) for _ in range(50)].count(True) == 1


def test_an_address_gets_ten_a_minute_however_many_accounts_it_tries() -> None:
    throttle = Throttle()
    through = sum(passed(throttle, f"user{n}", AWAY, n * 0.1) for n in range(3000))  # five minutes
    assert through <= 5 * A_MINUTE


def test_a_right_password_is_forgiven() -> None:
    throttle = Throttle()
    for n in range(40):  # a whole family behind one address signs in
        assert passed(throttle, f"user{n}", HOME, n * 0.01, known=True)
        throttle.right(f"user{n}", HOME, known=True)


def test_a_right_one_of_a_stranger_takes_back_itself_alone() -> None:
    throttle = Throttle()
    assert passed(throttle, "owner", AWAY, 0)
    throttle.right("owner", AWAY)
    for n in range(4):
        assert passed(throttle, "owner", f"10.0.0.{n}", n * 30.0)
    assert passed(throttle, "owner", AWAY, 120)
    throttle.right("owner", AWAY)
    assert throttle.ask("owner", "10.9.9.9", 120) == pytest.approx(1.6)


def test_ten_thousand_guesses_from_one_address_come_to_few_hashes() -> None:
    throttle = Throttle()
    assert sum(passed(throttle, "owner", AWAY, n * 0.36) for n in range(10_000)) <= 120  # in an hour


def test_one_guess_from_each_of_a_thousand_networks_and_more_comes_to_few_hashes_and_the_owner_still_enters() -> None:
    throttle, through = Throttle(), 0
    for n in range(10_000):
        now = n * 0.36
        through += passed(throttle, "owner", f"2001:db8:{n % 1000:x}::{n:x}", now)
        if n % 500 == 0:
            assert passed(throttle, "owner", HOME, now, known=True)
            throttle.right("owner", HOME, known=True)
    assert 0 < through <= 120


def test_the_owners_own_mistakes_count_at_a_known_address_too() -> None:
    throttle = Throttle()
    assert passed(throttle, "owner", HOME, 0, known=True)
    assert throttle.ask("owner", HOME, 0, known=True) > 0


def test_a_name_that_nobody_has_is_treated_like_any_other() -> None:
    real, nobody = Throttle(), Throttle()
    for n in range(30):
        assert real.ask("owner", AWAY, n * 1.0) == nobody.ask("nobody at all", AWAY, n * 1.0)


def test_the_addresses_of_one_household_are_one() -> None:
    assert home_of("2001:db8:1:2::3") == home_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert home_of("::ffff:192.0.2.1") == home_of("192.0.2.1") == "192.0.2.1"
    assert home_of("2001:db8:1:2::") != home_of("2001:db8:1:3::")
    assert home_of("") == ""


def test_after_a_quarter_of_an_hour_all_is_as_before() -> None:
    throttle, now = Throttle(), 0.0
    for _ in range(8):
        assert passed(throttle, "owner", AWAY, now)
        now += 30
    assert throttle.ask("owner", AWAY, now - 30) == LONGEST
    assert passed(throttle, "owner", AWAY, now + FORGOTTEN + 1)
    assert throttle.ask("owner", AWAY, now + FORGOTTEN + 1) == pytest.approx(0.2)


def test_no_flood_of_names_fills_the_memory_or_frees_the_account_under_attack() -> None:
    throttle, now = Throttle(), 0.0
    for _ in range(9):
        now += throttle.ask("owner", AWAY, now)
        passed(throttle, "owner", AWAY, now)
    for n in range(2 * REMEMBERED):
        throttle.ask(f"x{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", now)
        if n % 1000 == 0:
            assert throttle.ask("owner", AWAY, now) > 0
    assert len(throttle) <= REMEMBERED


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["owner", "mia", ""]),
            st.sampled_from([HOME, AWAY, "2001:db8::1", "2001:db8::2", ""]),
            st.floats(0, 40),
            st.booleans(),
            st.booleans(),
        ),
        max_size=200,
    )
)
def test_whatever_is_tried_no_wait_is_longer_than_it_may_be_and_waiting_it_out_helps(
    tries: list[tuple[str, str, float, bool, bool]],
) -> None:
    throttle, now, strangers = Throttle(), 0.0, 0
    for account, address, pause, known, right in tries:
        now += pause
        wait = throttle.ask(account, address, now, known=known)
        assert 0 <= wait <= 3600
        if known or not account:
            assert wait <= 60  # nobody is locked out where they are at home
        if wait:
            assert throttle.ask(account, address, now + wait + 1e-6, known=known) == 0
            now += wait + 1e-6
        if right:
            throttle.right(account, address, known=known)
        strangers += account == "owner" and not known
    assert strangers <= AN_HOUR or now > 3600
