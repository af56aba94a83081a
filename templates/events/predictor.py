"""Flags unusual readings. Each event that a sensor sends is answered by an event with the score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Score:
    sensor: str | None
    deviations: float
    anomaly: bool


class AnomalyDetector:
    """Tell how far a reading is from what is usual, in standard deviations."""

    example = {"value": 29.4}

    def load(self, context):
        self.mean = context.config["mean"]
        self.deviation = context.config["deviation"]
        self.threshold = context.config["threshold"]

    # `event` gets the CloudEvent; without the default, plain requests would be refused.
    def predict(self, value: float, event=None) -> Score:
        deviations = (value - self.mean) / self.deviation
        sensor = event.get_source() if event else None
        return Score(sensor, round(deviations, 2), abs(deviations) >= self.threshold)
