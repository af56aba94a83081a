"""All benches, or those that are named: run.py [NAME...] [--seconds S] [--rounds N]."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    "hotpath",
    "batching_sleep",
    "batching_minilm",
    "hooks",
    "probes",
    "coldstart",
    "streaming",
    "tensors",
    "memory",
    "build",
    "deploy",
    "localstart",
    "events",
    "gateway",
)


def main() -> None:
    """One process each: none sees what another has left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seconds", metavar="S", help="as each bench has it")
    parser.add_argument("--rounds", metavar="N", help="as each bench has it")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(
            f"no bench is called {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}"
        )
    given = {"--seconds": options.seconds, "--rounds": options.rounds}
    passed_on = [word for key, value in given.items() if value for word in (key, value)]
    began = time.monotonic()
    for name in options.names or NAMES:
        script = Path(__file__).with_name(f"{name}.py")
        subprocess.run([sys.executable, str(script), *passed_on], check=False)
    print(f"\n{time.monotonic() - began:.0f} seconds in all")


if __name__ == "__main__":
    main()
