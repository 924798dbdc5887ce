"""Which folder the models are in, and when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.engines.ollama.models_folder import ModelsFolder, fixed_disks, models_folder, mounted


def away(
    path: Path, *, own: bool = False, platform: str = "linux", mounted: str = "", fixed: tuple[str, ...] = ()
) -> str:
    return ModelsFolder(path, own).away(platform, lambda place: place == mounted, lambda: fixed)


def test_the_configured_one_then_the_environments_then_ollamas_own() -> None:
    environment = {"HOME": "/home/ada", "OLLAMA_MODELS": "/disk/models"}
    assert models_folder(Path("/other"), environment) == ModelsFolder(Path("/other"), own=False)
    assert models_folder(None, environment) == ModelsFolder(Path("/disk/models"), own=False)
    assert models_folder(None, {"HOME": "/home/ada"}) == ModelsFolder(Path("/home/ada/.ollama/models"), own=True)


@pytest.mark.parametrize(
    ("path", "platform", "fixed", "mounted"),
    [
        ("/Volumes/Big Disk/models", "darwin", (), "/Volumes/Big Disk"),
        ("/run/media/ada/BIG/models", "linux", (), "/run/media/ada/BIG"),
        ("/media/ada/BIG/models", "linux", (), "/media/ada/BIG"),
        ("/mnt/big/models", "linux", ("/mnt/big", "/home"), "/mnt/big"),
        ("/mnt/big", "linux", ("/mnt/big",), "/mnt/big"),
    ],
)
def test_a_folder_left_where_a_disk_belongs_is_not_the_folder(
    path: str, platform: str, fixed: tuple[str, ...], mounted: str
) -> None:
    """Somebody, or some program, made it while the disk was away."""
    for own in (True, False):
        assert f"the disk {mounted} is not connected" in away(Path(path), own=own, platform=platform, fixed=fixed)
    assert away(Path(path), own=True, platform=platform, fixed=fixed, mounted=mounted) == ""


def test_disks_of_the_systems_table_are_read_as_they_are_spelled_there(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    table.write_text(
        "# comment /mnt/no ext4\nUUID=1 / ext4 defaults 0 1\nUUID=2 /mnt/my\\040disk/ ext4 noauto 0 2\n"
        "UUID=3 none swap sw 0 0\n\nbroken\n"
    )
    assert fixed_disks(table) == ["/mnt/my disk"]
    assert fixed_disks(tmp_path / "none") == []


def test_a_folder_that_is_mounted_from_the_same_disk_counts_as_mounted(tmp_path: Path) -> None:
    """Its device is that of the folder above, so that nothing but the system's list tells it apart."""
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 {tmp_path}/my\\040models ext4 rw 0 0\n")
    assert mounted(f"{tmp_path}/my models", table)
    assert not mounted(f"{tmp_path}/other", table)
    assert mounted("/", table)
