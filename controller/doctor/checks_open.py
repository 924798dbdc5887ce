"""Verdicts on what others get to see of us: public names, certificates, secrets, sessions. Pure."""

from __future__ import annotations

from controller.doctor.findings import A_DAY, Facts, Finding, Verdict, quoted
from controller.plain import count_words

FEW_DAYS = 14  # in which a certificate should be renewed; `tailscale cert` and others do so 30 days before
SHORTEST_KEY = 32  # bytes: what HS256 needs (RFC 7518, 3.2)


def public(facts: Facts) -> Finding:
    """What the internet gets to see of us: nothing but a no."""
    if not facts.asked:
        return Finding("public name", "ok", "Not asked: no tunnel has a public name here (server.tunnel.hostnames).")
    names = ", ".join(dict.fromkeys(each.base for each in facts.asked))
    open_ = [each for each in facts.asked if each.status is not None and not _says_no(each.status)]
    if open_:
        told = ", ".join(f"{each.route} at {each.base} ({each.status})" for each in open_)
        remedy = "Now: seadragon stop tunnel. Then look at roles and open_tunnel_to_anonymous in access.yaml, and "
        remedy += f"whether that name leads to {' or '.join(engine.title for engine in facts.engines)} itself."
        return Finding("public name", "fail", f"Anybody on the internet gets an answer, without a key: {told}.", remedy)
    silent = [each for each in facts.asked if each.status is None or each.status >= 500]
    if silent:
        first = silent[0]
        why = first.fault or f"status {first.status}"
        remedy = "Is the tunnel up (seadragon status), and the name led to it (docs/tunnel.md)?"
        return Finding("public name", "warn", f"{first.base} could not be asked: {why}.", remedy)
    if any(each.status == 421 for each in facts.asked):
        remedy = "Add it to `hosts:` in access.yaml, or to server.tunnel.hostnames."
        return Finding("public name", "warn", f"Seadragon does not know that it is called {names}.", remedy)
    return Finding("public name", "ok", f"{names} says no to whoever shows no key.")


def _says_no(status: int) -> bool:
    """Also a redirect: that is Cloudflare's own gate. 5xx is nobody's answer."""
    return status in (401, 403, 404, 405, 421, 429) or 300 <= status < 400 or status >= 500


def certificates(facts: Facts) -> Finding:
    """Whether browsers will go on to take them."""
    if not facts.certificates:
        return Finding("certificates", "ok", "No listener has one.")
    bad = [each for each in facts.certificates if each.fault]
    if bad:
        told = "; ".join(f"{each.address}: {each.fault}" for each in bad)
        return Finding(
            "certificates", "fail", f"{told}.", "Renew it, as docs/tunnel.md says; it is taken over by itself."
        )
    days = {each.address: int((each.ends - facts.now) // A_DAY) for each in facts.certificates}
    told = ", ".join(f"{address}: {count_words(left, 'day')} left" for address, left in days.items())
    if min(days.values()) < FEW_DAYS:
        return Finding("certificates", "warn", f"{told}.", "Renew it soon; the new files are taken over by themselves.")
    return Finding("certificates", "ok", f"{told}.")


def secret_files(facts: Facts) -> Finding:
    """Keys and tokens, each for us alone; and long enough that nobody guesses them."""
    open_ = [each for each in facts.secrets if each.fault]
    if open_:
        told = "; ".join(f"{each.path}: {each.fault}" for each in open_)
        names = quoted(each.path for each in open_)
        return Finding("secrets", "fail", f"{told}.", f"Run: chmod 600 {names}; what others read must be replaced.")
    short = [each for each in facts.secrets if each.size < SHORTEST_KEY]
    if short:
        told = ", ".join(str(each.path) for each in short)
        remedy = "Move it away and start again: a new one is made, and everybody signs in afresh."
        return Finding("secrets", "fail", f"Too short to be safe: {told}.", remedy)
    return Finding("secrets", "ok", f"{count_words(len(facts.secrets), 'file')} with secrets, for us alone.")


def cookies(facts: Facts) -> Finding:
    """A session that travels in the clear belongs to whoever reads it."""
    plain = [each.address for each in facts.config.server.listeners if each.plain_cookies]
    if plain:
        words = f"People sign in without https at {', '.join(plain)}: whoever is in that network can read along."
        return Finding("cookies", "warn", words, "With a certificate (docs/tunnel.md), take plain_cookies out.")
    return Finding("cookies", "ok", "Sessions travel over https only.")


def admins(facts: Facts) -> Finding:
    """Somebody who can take rights back from anywhere in the house."""
    if facts.admins == 0:
        serious: Verdict = "warn" if facts.config.server.tunnel.mode != "off" else "ok"
        return Finding("admin", serious, "There is no admin yet.", "To become one: seadragon admin-code")
    if facts.admins is None:
        return Finding("admin", "ok", "Not looked at: nobody can have signed up yet.")
    return Finding("admin", "ok", f"{count_words(facts.admins, 'admin')}.")
