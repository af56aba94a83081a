"""The model's loop without a server, one text after the other. Reads a list of texts, prints the
CPU and wall-clock seconds that it took.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "functions" / "minilm"))

from embedder import Embedder

embedder = Embedder()
embedder.embed(["a happy dog"])
for line in sys.stdin:
    cpu, wall = time.process_time(), time.perf_counter()
    for text in json.loads(line):
        json.dumps(embedder.embed([text])[0])
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall]), flush=True)
