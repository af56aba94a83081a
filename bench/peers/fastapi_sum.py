"""FastAPI with a pydantic model. `async def` is its best here; `def`, which its documentation has
for code that blocks, goes through a pool of threads.
"""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Body(BaseModel):
    numbers: list[int]


@app.post("/")
async def predict(body: Body) -> int:
    return sum(body.numbers)


@app.post("/thread")
def predict_in_thread(body: Body) -> int:
    return sum(body.numbers)
