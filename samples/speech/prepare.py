# /// script
# requires-python = ">=3.11"
# dependencies = ["pip"]
# ///
"""Makes ./weights: Silero VAD as ONNX, 1.2 MB. Run: uv run prepare.py

The model comes from the package silero-vad (MIT). Only this file is used: the package needs torch,
the model does not.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

WEIGHTS = Path(__file__).with_name("weights")
REQUIREMENT = "silero-vad==6.2.3"
MODEL = "silero_vad/data/silero_vad_16k_sequence.onnx"


def main() -> None:
    with TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*pip, REQUIREMENT], check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            model = archive.read(MODEL)
    WEIGHTS.mkdir(exist_ok=True)
    (WEIGHTS / "model.onnx").write_bytes(model)
    print(f"made {WEIGHTS}")


if __name__ == "__main__":
    main()
