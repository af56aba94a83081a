"""Seconds in C: with the GIL held, or with the GIL released and a core in use."""

import ctypes
import hashlib
import time

_C = ctypes.PyDLL(None)  # as CDLL, but keeps the GIL


class Predictor:
    example = {"seconds": 0.01, "hold": False}

    def predict(self, seconds: float, hold: bool) -> float:
        end = time.monotonic() + seconds
        if hold:
            _C.usleep(int(seconds * 1e6))
        while time.monotonic() < end:
            hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 20_000)
        return seconds
