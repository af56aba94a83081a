import accelerator


class Predictor:
    example = {"number": 1}

    def predict(self, number: list[int]) -> list[int]:
        return accelerator.run(number)
