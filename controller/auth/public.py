"""Where people find this server: what stands before the path of a link that is sent to somebody. Pure."""

from __future__ import annotations

from controller.config.schema import Config, Listener

_ANY = ("0.0.0.0", "::")  # noqa: S104 - what is listened on is compared, not bound


def public_urls(config: Config) -> list[str]:
    """The best first: names of the tunnel, names of the house (over https where a listener has a certificate or
    a proxy of ours stands before it), addresses; this machine's own only when all else lacks. Never none; without a
    slash at the end.
    """
    tunnel = [f"https://{name}" for name in config.server.tunnel.hostnames if not name.startswith("*")]
    direct = [each for each in config.server.listeners if each.kind == "direct" and each.place.host]
    direct.sort(key=lambda each: each.tls.cert is None)
    names = [name for name in config.access.hosts if name != "localhost"]
    open_ones = [each for each in direct if not each.place.loopback]
    named = [_url(each, name) for each in open_ones for name in names]
    plain = [_url(each, each.place.host) for each in open_ones if each.place.host not in _ANY]
    proxied = any(each.kind == "proxy" for each in config.server.listeners)
    here = [_url(each, "localhost") for each in direct]
    found = [*tunnel, *named, *plain] or [f"https://{name}" for name in names if proxied] or here
    return list(dict.fromkeys(found)) or ["http://localhost"]


def _url(listener: Listener, host: str) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    scheme, port = ("http", 80) if listener.tls.cert is None else ("https", 443)
    shown = "" if listener.place.port == port else f":{listener.place.port}"
    return f"{scheme}://{bracketed}{shown}"
