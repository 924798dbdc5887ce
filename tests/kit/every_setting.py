"""A configuration in which every setting has a place, and for each setting a value that differs from it."""

from __future__ import annotations

import copy
from typing import Any

from controller.config.schema import Config
from controller.config.tree import ANY, Way

BASE: dict[str, Any] = {
    "server": {
        "listeners": [{"address": "127.0.0.1:8420"}, {"address": "127.0.0.1:8421"}],
        "line": {"lanes": {"2": {}}},
        "children": {"awake": {"command": ["sleep", "1000"]}, "other": {"command": ["sleep", "1001"]}},
    },
    "models": {"models": {"red": {}}, "aliases": {"crimson": {"base": "red"}}},
    "access": {"allow": [{"label": "anna", "addresses": ["192.168.1.20"]}, {"label": "us", "addresses": ["::1"]}]},
}

OTHER: dict[str, object] = {
    "server.listeners.*.address": "127.0.0.1:9999",
    "server.listeners.*.kind": "tunnel",
    "server.listeners.*.trusted": ["10.0.0.2"],
    "server.listeners.*.header": "x-real-ip",
    "server.listeners.*.tls.cert": "house.pem",
    "server.listeners.*.tls.key": "house.key",
    "server.listeners.*.plain_cookies": "true",
    "server.prefixes": ["/elsewhere"],
    "server.require_https": "pages",
    "server.surfaces.admin.tunnel": "true",
    "server.hold": "61s",
    "server.drain": "61s",
    "server.adopt_grace": "61s",
    "server.first_filler.direct": "61s",
    "server.first_filler.proxy": "61s",
    "server.first_filler.tunnel": "61s",
    "server.limits.body": "33MiB",
    "server.limits.decoded": "33MiB",
    "server.limits.unread": "33MiB",
    "server.limits.inputs": "2049",
    "server.limits.connections": "513",
    "server.limits.per_address": "65",
    "server.line.aging": "61s",
    "server.line.patience": "61s",
    "server.line.min_stay": "61s",
    "server.line.linger": "61s",
    "server.line.max_charge": "61s",
    "server.line.running": "3",
    "server.line.waiting": "9",
    "server.line.bytes": "33MiB",
    "server.line.whole": "257",
    "server.line.times.wait": "61m",
    "server.line.times.load": "62m",
    "server.line.times.first_byte": "61m",
    "server.line.times.gap": "61s",
    "server.line.times.answer": "61m",
    "server.line.lanes.*.wait": "61m",
    "server.line.lanes.*.load": "62m",
    "server.line.lanes.*.first_byte": "61m",
    "server.line.lanes.*.gap": "61s",
    "server.line.lanes.*.answer": "61m",
    "server.memory.budget": "33GiB",
    "server.memory.reserve": "5GiB",
    "server.power.awake": "always",
    "server.backup.at": "04:15",
    "server.backup.daily": "8",
    "server.backup.weekly": "5",
    "server.log.level": "debug",
    "server.log.access": "false",
    "server.log.file_size": "33MiB",
    "server.log.files": "6",
    "server.usage.keep": "61d",
    "server.usage.daily": "61d",
    "server.audit.keep": "61d",
    "server.ollama.startup": "61s",
    "server.ollama.probe_every": "61s",
    "server.ollama.probe_limit": "61s",
    "server.ollama.probe_misses": "6",
    "server.ollama.stop_grace": "61s",
    "server.ollama.mode": "adopt",
    "server.ollama.url": "http://127.0.0.1:11434",
    "server.ollama.binary": "/bin/true",
    "server.ollama.port": "11500",
    "server.ollama.renew": "never",
    "server.ollama.environment": {"OTHER": "secret-value"},
    "server.tunnel.mode": "quick",
    "server.tunnel.binary": "/bin/true",
    "server.tunnel.token_file": "token",
    "server.tunnel.tunnel_id": "an-id",
    "server.tunnel.credentials_file": "credentials.json",
    "server.tunnel.hostnames": ["ai.example.org"],
    "server.tunnel.protocol": "http2",
    "server.tunnel.edge": ["127.0.0.1:1", "127.0.0.1:2"],
    "server.tunnel.edge_ca": "/bin/true",
    "server.tunnel.grace": "61s",
    "server.tunnel.environment": {"OTHER": "secret-value"},
    "server.children.*.command": ["sleep", "1002"],
    "server.children.*.environment": {"OTHER": "secret-value"},
    "server.children.*.folder": "/",
    "server.children.*.probe": "http://127.0.0.1:9/",
    "server.children.*.startup": "61s",
    "server.children.*.stop_grace": "61s",
    "server.children.*.files": "1024",
    "models.folder": "/",
    "models.context_length": "16384",
    "models.parallel": "2",
    "models.load_timeout": "61s",
    "models.flash_attention": "true",
    "models.kv_cache_type": "q8_0",
    "models.prompt_cache": "512MiB",
    "models.no_cloud": "false",
    "models.gpu": "any",
    "models.aliases.*.base": "blue",
    "models.aliases.*.options": {"num_ctx": "4096"},
    "models.aliases.*.system": "Be kind.",
    "models.max_loaded": "3",
    "models.keep_alive": "5m",
    "models.default": "red",
    "models.max_tokens": "4096",
    "models.redirect": {"gpt-4o*": "red"},
    "models.models.*.keep_alive": "61s",
    "models.models.*.preload": "at_start",
    "models.models.*.pin": "true",
    "models.models.*.memory_gb": "1.5",
    "models.models.*.times.wait": "61m",
    "models.models.*.times.load": "62m",
    "models.models.*.times.first_byte": "61m",
    "models.models.*.times.gap": "61s",
    "models.models.*.times.answer": "61m",
    "access.allow.*.label": "someone",
    "access.allow.*.addresses": ["10.0.0.1"],
    "access.allow.*.lane": "2",
    "access.allow.*.manage": "true",
    "access.allow.*.default": "red",
    "access.allow.*.running": "3",
    "access.allow.*.waiting": "9",
    "access.allow.*.models": ["red*"],
    "access.allow.*.through_tunnel": "true",
    "access.hosts": ["elsewhere"],
    "access.origins": ["https://elsewhere.example.org"],
    "access.roles.anonymous.may": ["list"],
    "access.roles.address.may": ["list"],
    "access.roles.key.may": ["list"],
    "access.roles.child.may": ["list"],
    "access.roles.member.may": ["list"],
    "access.roles.admin.may": ["list"],
    "access.open_tunnel_to_anonymous": "I understand that everybody on the internet may use it",
    "access.rates.key": "61",
    "access.rates.address": "61",
    "access.rates.anonymous": "61",
    "access.rates.wrong": "61",
}


def base() -> Config:
    """The configuration that `other` differs from."""
    return Config.model_validate(BASE)


def other(*ways: Way) -> Config:
    """The base with each of these settings at its other value. Of many entries it is the first that differs."""
    data: dict[str, Any] = copy.deepcopy(BASE)
    for way in ways:
        holder: Any = data
        for part in way[:-1]:
            holder = _first(holder) if part == ANY else holder.setdefault(part, {})
        holder[way[-1]] = OTHER[".".join(way)]
    return Config.model_validate(data)


def _first(many: Any) -> Any:
    return many[0] if isinstance(many, list) else next(iter(many.values()))
