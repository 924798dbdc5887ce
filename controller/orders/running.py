"""The rows about what runs: models, the line, children, the configuration, the database's copies, the controller."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.orders.fields import Field
from controller.orders.row import Order, Way

_MODEL: Final = Field("model", help="The model's name.", needed=True, typed="NAME", model=True)
_LANE: Final = Field("lane", "number", "Only this lane.", least=0, most=1000, typed="--lane")
_ONLY: Final = Field("model", help="Only this model.", typed="--model MODEL", model=True)
_CHILD: Final = Field("name", help="The child's name.", needed=True, typed="NAME", longest=64)
_LAST: Final = 10**18  # number of a request: no line counts so far

_MODELS: Final = (
    Order(
        "models.load",
        "manage",
        "models",
        "Load a model",
        (_MODEL,),
        "{model}",
        (
            Way(
                "Load the model NAME; what is in its way leaves as soon as its answers are finished.",
                "models load",
                "Load",
                "load",
                "model",
            ),
        ),
        route="POST /models/load",
        body="Load",
        status=202,
        job=True,
        patient=True,
    ),
    Order(
        "models.unload",
        "manage",
        "models",
        "Unload a model",
        (_MODEL,),
        "{model}",
        (
            Way(
                "Unload the model NAME as soon as its answers are finished.",
                "models unload",
                "Unload",
                "unload",
                "model",
            ),
        ),
        route="POST /models/unload",
        body="Unload",
        status=202,
        job=True,
        patient=True,
    ),
    Order(
        "models.switch",
        "manage",
        "models",
        "Switch a model",
        (
            replace(_MODEL, typed="MODEL"),
            Field(
                "from_", help="What leaves; else whatever is in the way.", typed="--from MODEL", model=True, wire="from"
            ),
            Field(
                "waiting",
                help="Those who wait for what leaves: wait on, get the new model, or are told no.",
                usual="keep",
                choices=("keep", "redirect", "refuse"),
                typed="--waiting",
            ),
            Field(
                "when",
                help="now: answers that are being written are cut.",
                usual="free",
                choices=("free", "now"),
                typed="--now",
                turns="now",
            ),
        ),
        "{model}",
        (Way("Put MODEL in the place of what is loaded.", "switch", "Switch to it", "switch", "model"),),
        route="POST /models/switch",
        body="Switch",
        status=202,
        job=True,
        patient=True,
    ),
    Order(
        "models.pin",
        "manage",
        "models",
        "Pin a model",
        (_MODEL, Field("on", "flag", "false lets it leave again.", usual=True, wire="pinned")),
        "{model}",
        (
            Way("Keep the model NAME in memory, whatever else is wanted.", "models pin", "Pin", "pin", "model"),
            Way(
                "Let the model NAME leave again when its room is needed.",
                "models unpin",
                "Unpin",
                "unpin",
                "model",
                given=(("on", False),),
            ),
        ),
        route="POST /models/pin",
        body="Pin",
        status=202,
        job=True,
        patient=True,
    ),
)

_LINE: Final = (
    Order(
        "queue.pause",
        "manage",
        "line",
        "Pause the line",
        (_LANE, _ONLY),
        "the line",
        (
            Way(
                "Let nobody through until `resume`: those who wait keep their place. Answers that are being written go "
                "on.",
                "pause",
                "Pause",
                "pause",
            ),
        ),
        route="POST /queue/pause",
        body="Pause",
        patient=True,
        verb="pause",
    ),
    Order(
        "queue.resume",
        "manage",
        "line",
        "Resume the line",
        (_LANE, _ONLY),
        "the line",
        (Way("Undo that `pause`; without an option, every pause.", "resume", "Resume", "resume"),),
        route="POST /queue/resume",
        body="Pause",
        patient=True,
        verb="resume",
    ),
    Order(
        "queue.cancel",
        "manage",
        "line",
        "End one request, waiting or being answered",
        (
            Field(
                "number",
                "whole",
                "The request's number, as `/queue` tells it.",
                True,
                least=1,
                most=_LAST,
                typed="NUMBER",
            ),
        ),
        "request {number}",
        (
            Way(
                "End the request NUMBER of `queue`, waiting or being answered; its client is told so.",
                "cancel",
                "Cancel",
                "cancel",
                "number",
                done="Request {number} has been ended.",
            ),
        ),
        route="POST /queue/cancel",
        body="Cancel",
        verb="cancel",
    ),
)

_CHILDREN: Final = (
    Order(
        "children.start",
        "manage",
        "children",
        "Start a child",
        (_CHILD,),
        "{name}",
        (Way("Start the child NAME now, whatever it is waiting for.", "start", "Start"),),
        verb="start",
    ),
    Order(
        "children.stop",
        "manage",
        "children",
        "Stop a child",
        (_CHILD,),
        "{name}",
        (
            Way(
                "Stop the child NAME, until `start NAME` or the next `up`.",
                "stop",
                "Stop",
                confirm="It stays stopped until somebody starts it again.",
            ),
        ),
        verb="stop",
    ),
    Order(
        "children.restart",
        "manage",
        "children",
        "Restart a child",
        (_CHILD,),
        "{name}",
        (Way("Restart the child NAME once what uses it is finished.", "", "Restart"),),
    ),
)

_HOUSE: Final = (
    Order(
        "configuration.reload",
        "manage",
        "configuration",
        "Read the YAML now",
        about="the configuration",
        ways=(Way("Read the YAML now. (It is read by itself whenever it is saved.)", "reload", "Read the YAML"),),
        verb="reload",
    ),
    Order(
        "storage.backup",
        "operator",
        "storage",
        "Copy the database",
        (Field("file", help="Where to; left out: into data/backups.", longest=4096),),
        "the database",
        (Way("Copy the database, also while Seadragon runs.", "", "Copy the database"),),
        verb="backup",
    ),
    Order(
        "controller.restart",
        "operator",
        "controller",
        "Restart the controller",
        about="the controller",
        ways=(
            Way(
                "Restart the controller itself, under which its children keep running.",
                "",
                "Restart",
                confirm="Answers in flight are finished first.",
            ),
        ),
    ),
    Order(
        "controller.down",
        "operator",
        "controller",
        "Stop everything",
        about="the controller",
        ways=(
            Way(
                "Finish the answers in flight, stop everything, leave.",
                "",
                "Stop everything",
                confirm="Nobody is answered until somebody starts it again on the machine.",
            ),
        ),
    ),
)

ROWS: Final = (*_MODELS, *_LINE, *_CHILDREN, *_HOUSE)
