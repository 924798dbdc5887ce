"""What Ollama's log and the system's tools say of the GPU."""

from __future__ import annotations

from typing import Literal

import pytest

from controller.engines.engine import Accelerator
from controller.engines.ollama.accelerator import accelerator_limit, gpu_lost

GIB, MIB = 2**30, 2**20
STAMP = "time=2026-02-03T04:05:06.789Z level=INFO source="
SEARCH = f'{STAMP}runner.go:67 msg="discovering available GPUs..."\n'
LISTENING = f'{STAMP}routes.go:1864 msg="Listening on 127.0.0.1:11434 (version 0.24.0)"\n'
METAL = (
    f'{STAMP}types.go:42 msg="inference compute" id=0 filter_id="" library=Metal compute=0.0 name=Metal '
    'description="Apple M4 Pro" libdirs="" driver=0.0 pci_id="" type=discrete total="48.0 GiB" available="48.0 GiB"\n'
)
CPU = (
    f'{STAMP}types.go:60 msg="inference compute" id=cpu library=cpu compute="" name=cpu description=cpu '
    'libdirs=ollama driver="" pci_id="" type="" total="62.5 GiB" available="23.1 GiB"\n'
)
CARD = (
    f'{STAMP}types.go:42 msg="inference compute" id=GPU-1 filter_id="" library=CUDA compute=8.6 name=CUDA0 '
    'description="NVIDIA GeForce RTX 3090" libdirs=ollama,cuda_v12 driver=12.4 pci_id=0000:01:00.0 type=discrete '
    'total="24.0 GiB" available="23.4 GiB"\n'
)
RADEON = (
    f'{STAMP}types.go:42 msg="inference compute" id=0 filter_id="" library=ROCm compute=gfx1151 name=ROCm0 '
    'description="AMD Radeon 8060S" libdirs=ollama,rocm driver=6.3 pci_id=0000:c5:00.0 type=iGPU '
    'total="96.0 GiB" available="95.7 GiB"\n'
)


def test_metal_tells_its_measured_working_set() -> None:
    found = accelerator_limit(SEARCH + LISTENING + METAL)
    assert found == Accelerator("Metal", "Apple M4 Pro", 48 * GIB, 48 * GIB, unified=True)
    assert found.limit == 48 * GIB


def test_cards_are_added_up() -> None:
    found = accelerator_limit(SEARCH + CARD + CARD.replace("GPU-1", "GPU-2").replace('"24.0', '"12.0'))
    assert found is not None
    assert (found.library, found.limit, found.unified) == ("CUDA", 36 * GIB, False)
    assert found.name == "NVIDIA GeForce RTX 3090, NVIDIA GeForce RTX 3090"


def test_a_gpu_within_the_processor_shares_its_memory() -> None:
    found = accelerator_limit(SEARCH + RADEON)
    assert found is not None
    assert (found.library, found.limit, found.unified) == ("ROCm", 96 * GIB, True)


def test_without_a_gpu_there_is_no_limit_of_one() -> None:
    found = accelerator_limit(SEARCH + CPU)
    assert found is not None
    assert (found.library, found.limit) == ("cpu", None)


def test_the_last_start_counts() -> None:
    lost = accelerator_limit(SEARCH + METAL + SEARCH + CPU)
    assert lost is not None
    assert lost.library == "cpu"


@pytest.mark.parametrize("text", ["", LISTENING, SEARCH, METAL + SEARCH, 'msg="inference compute"', "\0\n\n"])
def test_nothing_is_known_before_it_has_looked(text: str) -> None:
    assert accelerator_limit(text) is None


def test_a_log_cut_off_before_the_search_still_tells() -> None:
    found = accelerator_limit(METAL[METAL.index("msg=") :])
    assert found is not None
    assert found.total == 48 * GIB


def test_a_size_nobody_can_read_is_no_limit() -> None:
    found = accelerator_limit(METAL.replace("48.0 GiB", "plenty"))
    assert found is not None
    assert found.limit is None


@pytest.mark.parametrize(
    ("log", "wanted", "silicon", "lost"),
    [
        (CPU, "auto", True, True),  # as for a daemon that runs before anybody has logged in
        (CPU, "auto", False, False),
        (CPU, "required", False, True),
        (CPU, "any", True, False),
        (METAL, "auto", True, False),
        (CARD, "required", False, False),
        ("", "required", True, False),  # it has not looked yet
    ],
)
def test_a_gpu_that_must_be_there_is_missed(
    log: str, wanted: Literal["auto", "required", "any"], silicon: bool, lost: bool
) -> None:
    assert gpu_lost(accelerator_limit(log), wanted, silicon=silicon) is lost
