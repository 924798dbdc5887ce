"""Where people find this server: what stands before the path of a link that is sent to somebody. Pure."""

from __future__ import annotations

from controller.config.schema import Config, Listener

_ANY = ("0.0.0.0", "::")  # noqa: S104 - what is listened on is compared, not bound


def public_urls(config: Config) -> list[str]:
    """The best first: names of the tunnel, names of the house, addresses; this machine's own only when all else lacks.

    Without a slash at the end.
    """
    tunnel = [f"https://{name}" for name in config.server.tunnel.hostnames]
    direct = [each for each in config.server.listeners if each.kind == "direct" and each.place.host]
    names = [name for name in config.access.hosts if name != "localhost"]
    open_ones = [each for each in direct if not each.place.loopback]
    named = [_url(each, name) for each in open_ones for name in names]
    plain = [_url(each, each.place.host) for each in open_ones if each.place.host not in _ANY]
    found = [*tunnel, *named, *plain] or [_url(each, "localhost") for each in direct]
    return list(dict.fromkeys(found))


def _url(listener: Listener, host: str) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return f"http://{bracketed}:{listener.place.port}"
