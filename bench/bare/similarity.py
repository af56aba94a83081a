"""What a cold start has to beat: the code of samples/similarity in a script, with no server.

similarity.py FOLDER SENTENCES TEXT: prints the answer as JSON, then waits for the end of its input.
"""

import json
import sys
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])

from predictor import Similarity

similarity = Similarity()
similarity.load(SimpleNamespace(device="cpu", config={"sentences": json.loads(sys.argv[2])}))
[matches] = similarity.predict([sys.argv[3]])
print(json.dumps([[match.sentence, match.score] for match in matches]), flush=True)
sys.stdin.read()
