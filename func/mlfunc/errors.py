"""What can go wrong in the command line: each class carries the exit code that scripts may rely on.

    MlfuncError            1  anything else: a port is taken, a folder is not empty
    ├── UsageError         2  a wrong option, a broken mlfunc.yaml, a predictor that is not there
    ├── FunctionFailed     3  the function did not start, replied with an error, or its tests failed
    ├── EnvironmentFailed  4  the function's own environment could not be made
    ├── NotFound           5  there is no such function, template or file, or nothing answers there
    ├── RegistryFailed     6  a registry refused, could not be reached, or broke off
    └── ClusterFailed      7  a cluster refused, could not be reached, or cannot run the function

An interrupted command exits with 130, as shells expect.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED = 130


class MlfuncError(Exception):
    """A failure that a user can act on: what happened, evidence of it, and what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", *, evidence: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.evidence = evidence

    def as_data(self) -> dict[str, str | int]:
        """For programs."""
        return {
            "message": self.message,
            "hint": self.hint,
            "evidence": self.evidence,
            "exit_code": self.exit_code,
        }


class UsageError(MlfuncError):
    """The command or the project says something that cannot be done."""

    exit_code = 2


class FunctionFailed(MlfuncError):
    """The function itself failed: it did not start, or answered with an error."""

    exit_code = 3


class EnvironmentFailed(MlfuncError):
    """The environment of a function could not be made."""

    exit_code = 4


class NotFound(MlfuncError):
    """What was asked for does not exist or does not answer."""

    exit_code = 5


class RegistryFailed(MlfuncError):
    """A registry of images refused, could not be reached, or broke off."""

    exit_code = 6


class ClusterFailed(MlfuncError):
    """A cluster refused, could not be reached, or cannot run what it was given."""

    exit_code = 7
