"""litserve_accelerator.py PORT [BATCH_TIMEOUT]: batches of 16 for the accelerator that sleeps."""

import sys

import accelerator
import litserve


class API(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["number"]

    def batch(self, inputs):
        return inputs

    def predict(self, numbers):
        return accelerator.run(numbers)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"output": output}


if __name__ == "__main__":
    wait = {"batch_timeout": float(sys.argv[2])} if len(sys.argv) > 2 else {}
    api = API(max_batch_size=16, **wait)
    server = litserve.LitServer(api, accelerator="cpu", timeout=60)
    server.run(
        port=int(sys.argv[1]), host="127.0.0.1", log_level="warning", generate_client_file=False
    )
