from embedder import Embedder


class Predictor:
    example = {"text": "a happy dog"}

    def load(self):
        self.embedder = Embedder()

    def size(self, text: str) -> int:
        return self.embedder.count(text)

    def predict(self, text: list[str]) -> list[list[float]]:
        return self.embedder.embed(text)
