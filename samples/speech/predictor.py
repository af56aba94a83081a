"""Finds speech in a sound: Silero VAD scores every 32 ms, runs of high scores are segments."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from mlfunc_runtime import Problem

RATE = 16_000
# In samples: the model reads a frame, and before it the end of the frame before.
FRAME, CONTEXT = 512, 64
STATE = np.zeros((1, 1, 128), dtype=np.float32)
# Speech begins at one score and ends below a lower one, so that it does not flicker.
ON, OFF = 0.5, 0.35
# In frames: a shorter pause ends nothing, a shorter segment is a click.
PAUSE, SHORTEST = 4, 8


@dataclass
class Segment:
    start: float
    end: float


class SpeechDetector:
    """Tell from when to when somebody speaks, in seconds. Takes WAV: 16 kHz, mono, 16 bit."""

    example = Path(__file__).with_name("greeting.wav")

    def load(self, context):
        options = onnxruntime.SessionOptions()
        # Its default is a thread for each core of the host, not of the container.
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        model = context.model("default") / "model.onnx"
        self.session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])

    def predict(self, sound: bytes) -> list[Segment]:
        inputs = {"input": frames(read(sound)), "h": STATE, "c": STATE}
        [scores] = self.session.run(["speech_probs"], inputs)
        second = FRAME / RATE
        runs = ((start, end) for start, end in speech(scores) if end - start >= SHORTEST)
        return [Segment(round(start * second, 2), round(end * second, 2)) for start, end in runs]


def read(sound: bytes) -> np.ndarray:
    try:
        with wave.open(io.BytesIO(sound)) as wav:
            layout = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
            samples = wav.readframes(wav.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:
        raise Problem(400, f"the body is no WAV sound: {str(error) or 'it is cut off'}") from error
    if layout != (RATE, 1, 2):
        fix = "ffmpeg -i IN -ar 16000 -ac 1 OUT.wav"
        raise Problem(400, f"the sound is not 16 kHz, mono, 16 bit; convert it: {fix}")
    return np.frombuffer(samples, "<i2", len(samples) // 2).astype(np.float32) / 32768


def frames(sound: np.ndarray) -> np.ndarray:
    padded = np.pad(sound, (CONTEXT, FRAME))
    return np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]


def speech(scores: Iterable[float]) -> Iterator[tuple[int, int]]:
    """Where speech starts and ends, in frames."""
    start = pause = None
    frame = -1
    for frame, score in enumerate(scores):
        if score >= ON:
            start, pause = frame if start is None else start, None
        elif start is not None and score < OFF:
            pause = frame if pause is None else pause
            if frame - pause >= PAUSE:
                yield start, pause
                start = pause = None
    if start is not None:
        yield start, frame + 1 if pause is None else pause
