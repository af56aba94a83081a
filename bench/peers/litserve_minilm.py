"""litserve_minilm.py PORT BATCH_TIMEOUT: batches of 16 for MiniLM."""

import sys

import litserve
from embedder import Embedder


class API(litserve.LitAPI):
    def setup(self, device):
        self.embedder = Embedder()

    def decode_request(self, request):
        return request["text"]

    def batch(self, inputs):
        return inputs

    def predict(self, texts):
        return self.embedder.embed(texts)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = API(max_batch_size=16, batch_timeout=float(sys.argv[2]))
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(
        port=int(sys.argv[1]), host="127.0.0.1", log_level="warning", generate_client_file=False
    )
