"""The generate loop of samples/chat without a server: chat.py FOLDER. Reads questions as the sample
takes them, prints how many pieces of text the answer had and the CPU seconds.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))

from predictor import Chat  # noqa: E402

chat = Chat()
chat.load(SimpleNamespace(device="cpu", model=lambda _: folder / "weights"))
for line in sys.stdin:
    cpu = time.process_time()
    pieces = list(chat.predict(**json.loads(line)))
    print(json.dumps([len(pieces), time.process_time() - cpu, "".join(pieces)]), flush=True)
