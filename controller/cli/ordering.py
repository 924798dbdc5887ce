"""Every order of the table that is typed, as a command: its options are the order's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from controller.cli import patience
from controller.cli.group import main, places
from controller.cli.told import tell, tell_job, tell_json
from controller.control import client
from controller.orders.fields import Field
from controller.orders.row import Order, Way
from controller.orders.table import COMMANDS
from controller.paths import Paths

ANSWERING: Final = 30.0  # seconds an order may say nothing
_LONG: Final = ("children", "configuration")
"""What is touched by orders that take as long as they take."""


class Span(click.ParamType[float]):
    """A duration: 90s, 2h, 30d."""

    name = "duration"

    def convert(self, value: Any, option: click.Parameter | None, context: click.Context | None) -> float:
        from controller.settings.units import seconds  # pydantic is slow to import

        try:
            return float(str(seconds(value)))
        except ValueError as error:
            self.fail(f"{value!r} is not {error}.", option, context)


def add_commands(groups: Mapping[str, click.Group]) -> None:
    """Each command of the table into its group, by the group's name; those of one word into the whole."""
    for words, (row, way) in COMMANDS.items():
        group, _, name = words.rpartition(" ")
        (groups[group] if group else main).add_command(_command(name, row, way))


def _command(name: str, row: Order, way: Way) -> click.Command:
    @places
    def ordering(paths: Paths, as_json: bool = False, no_wait: bool = False, **options: Any) -> None:
        given = {**_given(row, options), **dict(way.given)}
        if row.job:
            return tell_job(_begun(paths, row, given, wait=not no_wait))
        answer = _answer(paths, row, given)
        return tell_json(answer) if as_json else tell(row, way, given, answer)

    ordering.__doc__ = way.help
    made = click.command(name, help=way.help)(ordering)
    settled = {field for field, _ in way.given}
    own = [_parameter(field) for field in row.fields if field.typed and field.name not in settled]
    made.params[:0] = own
    if row.touches == "rights":
        made.params.append(click.Option(["--json", "as_json"], is_flag=True, help="One JSON document."))
    if row.job:
        made.params.append(
            click.Option(["--no-wait"], is_flag=True, help="Give the order, and do not wait for its end.")
        )
    return made


def _parameter(field: Field) -> click.Parameter:
    typed, _, metavar = field.typed.partition(" ")
    if not typed.startswith("-"):
        return click.Argument([field.name], metavar=None if field.choices else typed, type=_type(field))
    if field.turns:
        return click.Option([typed, field.name], is_flag=True, flag_value=field.turns, default=None, help=field.help)
    return click.Option(
        [typed, field.name],
        type=_type(field),
        multiple=field.kind == "texts",
        default=field.usual,
        show_default=field.usual is not None,
        metavar=metavar or None,
        help=field.help,
    )


def _type(field: Field) -> click.ParamType[Any]:
    if field.choices:
        return click.Choice(field.choices)
    if field.span:
        return Span()
    least = 0 if field.clears else field.least
    if field.kind == "whole":
        return click.IntRange(None if least is None else int(least), None if field.most is None else int(field.most))
    return click.FloatRange(least, field.most) if field.kind == "number" else click.STRING


def _given(row: Order, options: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed: options nobody gave are left to the order itself, and 0 is none where that means something."""
    given: dict[str, Any] = {}
    for field in row.fields:
        value = options.get(field.name)
        if value is None or value == ():
            continue
        if field.kind == "texts":
            value = [each for each in value if each]
        given[field.name] = None if field.clears and value == 0 else value
    return given


def _answer(paths: Paths, row: Order, given: Mapping[str, Any]) -> Any:
    if row.touches == "rights":
        return client.ask(paths.socket, "office", limit=ANSWERING, order=row.name, arguments=dict(given))
    if row.patient:
        return patience.ask(paths, row.verb, **given)
    return client.ask(paths.socket, row.verb, limit=None if row.touches in _LONG else ANSWERING, **given)


def _begun(paths: Paths, row: Order, given: Mapping[str, Any], *, wait: bool) -> Any:
    """How far it is, line by line, and its end."""
    kind = row.name.partition(".")[2]
    return patience.listen(paths, "order", kind=kind, wait=wait, follow=wait, **given)
