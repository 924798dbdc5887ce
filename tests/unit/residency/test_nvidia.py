"""What NVIDIA's tool says of its cards."""

from __future__ import annotations

import pytest

from controller.residency.nvidia import nvidia_memory, nvidia_processes

MIB = 2**20


def test_nvidias_cards_are_added_up() -> None:
    assert nvidia_memory("24576, 1234\n12288, 100\n") == (36864 * MIB, 1334 * MIB)


@pytest.mark.parametrize("text", ["", "No devices were found\n", "[N/A], [N/A]\n", "NVIDIA-SMI has failed, because\n"])
def test_a_card_that_does_not_tell_is_unknown(text: str) -> None:
    assert nvidia_memory(text) is None


def test_a_process_holds_the_sum_of_what_it_has_on_each_card() -> None:
    assert nvidia_processes("4711, 300\n4712, [N/A]\n4711, 200\n") == {4711: 500 * MIB}
