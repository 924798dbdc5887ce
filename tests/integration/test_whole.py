"""An Ollama whose own programs are missing is told so, wherever somebody would look."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.demo.create import create_demo
from controller.errors import ObtainFailed, SeadragonError
from controller.obtain import __main__ as setup
from controller.obtain import release, whole
from controller.obtain.site import Site
from tests.kit import real

NEW = "0.32.0"


def put(folder: Path, *names: str) -> None:
    """Programs of a release, as empty files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)


@pytest.mark.parametrize("place", ["lib/ollama", "bin/lib/ollama"])
def test_they_are_looked_for_where_ollama_looks(tmp_path: Path, place: str) -> None:
    put(tmp_path, "bin/ollama")
    assert whole.missing(tmp_path / "bin/ollama", NEW, "linux") == ("llama-server", "llama-quantize")
    put(tmp_path, f"{place}/llama-server")
    assert whole.missing(tmp_path / "bin/ollama", NEW, "linux") == ("llama-quantize",)
    put(tmp_path, f"{place}/llama-quantize")
    assert whole.missing(tmp_path / "bin/ollama", NEW, "linux") == ()


def test_on_a_mac_they_may_lie_beside_it_and_homebrews_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "app/ollama", "app/llama-server", "app/llama-quantize")
    assert whole.missing(tmp_path / "app/ollama", NEW, "darwin") == ()
    assert whole.missing(tmp_path / "app/ollama", NEW, "linux") != ()
    put(tmp_path, "libexec/ollama", "libexec/lib/ollama/llama-server", "libexec/lib/ollama/llama-quantize")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ollama").symlink_to("../libexec/ollama")
    assert whole.missing(tmp_path / "bin/ollama", NEW, "darwin") == ()


def test_what_needs_none_or_cannot_be_judged_is_left_in_peace(tmp_path: Path) -> None:
    put(tmp_path, "bin/ollama", "bin/snap")
    for version in ("0.24.0", "0.0.0"):  # the second is a build of somebody's own
        assert whole.missing(tmp_path / "bin/ollama", version, "linux") == ()
    (tmp_path / "bin/ollama").write_text("#!/bin/sh\nexec /opt/ollama\n")
    (tmp_path / "ollama").symlink_to("bin/snap")
    for wrapper in ("bin/ollama", "ollama", "not-there/ollama"):
        assert whole.missing(tmp_path / wrapper, NEW, "linux") == ()


def test_a_release_that_came_without_them_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = ["bin/ollama", "lib/ollama/llama-server"]
    monkeypatch.setattr(release, "download", lambda site, version, folder: put(folder, *brought))
    site = Site(platform="linux", environment={"SEADRAGON_CACHE": str(tmp_path)})
    with pytest.raises(ObtainFailed, match=r"release 0\.\d+\.\d+ came without llama-quantize"):
        setup.from_release(site)
    brought.append("lib/ollama/llama-quantize")
    assert setup.from_release(site).exists()


def on_path(program: Path, home: Path) -> Site:
    """A machine whose person has this one."""
    return Site(environment={"PATH": str(program.parent), "HOME": str(home)})


def test_set_up_says_what_the_real_one_lacks(
    bare_ollama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert setup.ollama(on_path(bare_ollama, tmp_path)) == bare_ollama
    told = capfd.readouterr().err
    assert f"{bare_ollama} is Ollama {real.version()}, but has no llama-server and no llama-quantize" in told
    assert "brew upgrade ollama" in told


def test_set_up_says_nothing_of_one_that_is_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    setup.ollama(on_path(real.program(), tmp_path))
    assert capfd.readouterr().err == ""


def test_the_demo_says_what_the_real_one_lacks(
    bare_ollama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "program", lambda: bare_ollama)
    with real.serve(tmp_path / "home", tmp_path / "models") as ollama:
        with pytest.raises(SeadragonError, match="without its llama-quantize"):
            create_demo(ollama.url)
