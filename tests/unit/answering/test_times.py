"""The times of a request: general, by lane, by model."""

from __future__ import annotations

from controller.answering.times import Times
from controller.config.models import Models, OneModel
from controller.config.schema import Config, Server
from controller.config.waiting import LineSettings, SomeWaits, Waits


def test_a_model_has_the_last_word_after_its_lane() -> None:
    line = LineSettings(times=Waits(wait=10, gap=20), lanes={"3": SomeWaits(wait=30, load=35, answer=40)})
    models = Models(models={"Qwen3": OneModel(times=SomeWaits(answer=50, first_byte=60))})
    times = Times(Config(server=Server(line=line), models=models))
    assert times.of(1, "other") == Waits(wait=10, gap=20)
    assert times.of(3, "other") == Waits(wait=30, load=35, gap=20, answer=40)
    assert times.of(3.0, "qwen3:latest") == Waits(wait=30, load=35, gap=20, answer=50, first_byte=60)
    assert times.of(1, "qwen3") is times.of(1, "qwen3")
