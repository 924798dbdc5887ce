"""`seadragon status` for people: the document of the control socket as a small table. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.line_words import line_words, loaded_words, memory_words
from controller.plain import Style, count_words, printable, size_words, span_words

COLOURS = {"ready": "green", "starting": "yellow", "backoff": "yellow", "offline": "yellow", "stopping": "yellow"}
TROUBLE = "red"
SPEAKS_FOR_ITSELF = ("ready", "stopped")  # states whose reason would only repeat them


def status_lines(seen: dict[str, Any], now: float, style: Style) -> Iterator[str]:
    """The table, line by line. `now` is in seconds since the epoch."""
    yield f"Seadragon {seen['version']}, {seen['phase']} for {span_words(seen['uptime'])}, process {seen['pid']}"
    for listener in seen["listeners"]:
        yield f"  {listener.get('url') or listener.get('address')}  {listener.get('kind', '')}".rstrip()
    for one in seen.get("awaited", []):
        yield f"  {one['address']}  {style('not open yet', fg='yellow')}: {one['why']}"
    yield ""
    for child in seen["children"].values():
        yield from _child_lines(child, now, style)
    if seen["phase"] != "safe":
        yield ""
        yield f"  {'line':<10} {line_words(seen['line'])}"
        yield f"  {'loaded':<10} {loaded_words(seen['memory'])}"
        yield f"  {'memory':<10} {memory_words(seen['memory'])}"
    stored = seen.get("storage", {}).get("trouble")  # a controller from before knows of none
    for trouble in (*((stored,) if stored else ()), *seen.get("rights", {}).get("troubles", ())):
        yield ""
        yield printable(trouble)
    if seen["config"]["problems"]:
        yield ""
        yield "The YAML on disk is not what runs:"
        yield from (f"  {printable(problem)}" for problem in seen["config"]["problems"])


def _child_lines(child: dict[str, Any], now: float, style: Style) -> Iterator[str]:
    state = child["state"]
    about = (
        f"for {span_words(now - child['since'])}",
        f"process {child['pid']}" if child.get("pid") else "",
        size_words(child["memory"]) if child.get("memory") else "",
        count_words(child["restarts"], "restart"),
        f"next try in {span_words(child['retry_in'])}" if child.get("retry_in") else "",
        child.get("url") or "",
    )
    colour = None if state == "stopped" else COLOURS.get(state, TROUBLE)
    yield f"  {child['name']:<10} {style(f'{state:<13}', fg=colour)} {'  '.join(fact for fact in about if fact)}"
    if state not in SPEAKS_FOR_ITSELF and child["reason"]:
        yield f"  {'':<10} {printable(child['reason'])}"
