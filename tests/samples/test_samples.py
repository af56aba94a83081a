"""Every sample, served on its real model, and what it should find out."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import struct
import subprocess
import sys
import wave
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).parents[2] / "samples"
# In this order, among others.
SHOWN = (
    r"\$ mlfunc deploy --path similarity",
    r"http://127\.0\.0\.1:\d+/similarity$",
    r"\$ mlfunc create notice",
    r"http://127\.0\.0\.1:\d+/notice$",
    r"similarity +yes +similarity-00001 +0 ",
    r"\[\{\"sentence\":\"The puppy wags its tail with joy\.\"",
    r"  \.\.\. [\d.]+ s",
    r"\[\{\"sentence\":\"The puppy wags its tail with joy\.\"",
    r"\$ mlfunc emit --type com\.example\.text",
    r"noticed: Money is getting more expensive\.",
    r"notice +yes +notice-00001 +0 ",
    r"similarity +yes +similarity-00001 +0 ",
    r"\$ mlfunc platform stop",
    r"all of it took [\d.]+ s",
)
SIGN = ["Harbour Street Bakery", "Fresh bread from 7 am", "Apple cake 3.20", "Closed on Mondays"]


@pytest.fixture(scope="module")
def similarity(serve: Any) -> Iterator[Any]:
    with serve(SAMPLES / "similarity") as function:
        yield function


@pytest.fixture(scope="module")
def chat(serve: Any, uv_run: Any) -> Iterator[Any]:
    uv_run(SAMPLES / "chat" / "prepare.py")
    with serve(SAMPLES / "chat") as function:
        yield function


@pytest.fixture(scope="module")
def ocr(serve: Any) -> Iterator[Any]:
    with serve(SAMPLES / "ocr") as function:
        yield function


@pytest.fixture(scope="module")
def speech(serve: Any, uv_run: Any) -> Iterator[Any]:
    uv_run(SAMPLES / "speech" / "prepare.py")
    with serve(SAMPLES / "speech") as function:
        yield function


@pytest.mark.parametrize(
    ("text", "closest"),
    [
        ("a happy dog", "The puppy wags its tail with joy."),
        ("a lazy kitten", "The cat sleeps all day."),
        ("the price of a loan", "Money is getting more expensive."),
        ("take an umbrella with you", "It will rain tomorrow."),
    ],
)
def test_similarity_ranks_what_means_the_same_first(
    similarity: Any, text: str, closest: str
) -> None:
    matches = similarity.post({"text": text}).json()
    scores = [match["score"] for match in matches]

    assert matches[0]["sentence"] == closest
    assert scores == sorted(scores, reverse=True)


def test_similarity_to_itself_is_one(similarity: Any) -> None:
    best = similarity.post({"text": "He bought a new car."}).json()[0]

    assert best == {"sentence": "He bought a new car.", "score": 1.0}


def test_similarity_answers_a_batch_as_it_answers_one(similarity: Any) -> None:
    texts = [{"text": "a dog " * count} for count in range(1, 33)]

    alone = [similarity.post(text).json() for text in texts]
    with ThreadPoolExecutor(len(texts)) as threads:
        together = [reply.json() for reply in threads.map(similarity.post, texts)]

    for one, same in zip(alone, together, strict=True):
        assert scores_by_sentence(same) == pytest.approx(scores_by_sentence(one), abs=2e-3)


def test_show_goes_from_zero_by_a_request_and_an_event_back_to_zero() -> None:
    """The whole of the local platform; a model is waited for twice, and half a minute for zero."""
    finished = subprocess.run(
        [sys.executable, SAMPLES / "show.py"], capture_output=True, text=True, check=False
    )

    assert finished.returncode == 0, finished.stderr
    steps = iter(finished.stdout.splitlines())
    for expected in SHOWN:
        assert any(re.match(expected, line) for line in steps), finished.stdout


def test_chat_knows_the_capital_of_france(chat: Any) -> None:
    reply = chat.invoke()

    assert "Paris" in "".join(reply["data"])


def test_chat_streams_token_by_token(chat: Any) -> None:
    question = [{"role": "user", "content": "Count from one to five."}]

    reply = chat.post({"messages": question, "max_new_tokens": 12})

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.count(b"data: ") > 6
    assert reply.body.rstrip().endswith(b"event: end\ndata: {}")


def test_chat_remembers_what_was_said(chat: Any) -> None:
    messages = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is Paris."},
        {"role": "user", "content": "And of Italy?"},
    ]

    pieces = chat.post({"messages": messages}, accept="application/json").json()

    assert "Rome" in "".join(pieces)


@pytest.mark.parametrize(
    "messages", [[], [{"role": "robot", "content": "Hi"}], [{"role": "user"}], "Hi"]
)
def test_chat_refuses_what_is_no_chat(chat: Any, messages: object) -> None:
    reply = chat.post({"messages": messages})

    assert reply.status == 400
    assert reply.json()["field"].startswith("messages")


def test_ocr_reads_its_example(ocr: Any) -> None:
    lines = ocr.invoke()["data"]

    assert [line["text"] for line in lines] == SIGN
    assert all(line["score"] > 0.9 for line in lines)
    assert all(0 <= x <= 640 and 0 <= y <= 320 for line in lines for x, y in line["box"])


def test_ocr_takes_a_form_with_a_file(ocr: Any) -> None:
    head = 'Content-Disposition: form-data; name="image"; filename="sign.png"'
    picture = (SAMPLES / "ocr" / "sign.png").read_bytes()
    form = f"--edge\r\n{head}\r\n\r\n".encode() + picture + b"\r\n--edge--\r\n"

    reply = ocr.post(form, content_type="multipart/form-data; boundary=edge")

    assert [line["text"] for line in reply.json()] == SIGN


def test_ocr_finds_nothing_on_an_empty_page(ocr: Any) -> None:
    assert ocr.post(white_png(200, 100)).json() == []


def test_ocr_refuses_what_is_no_picture(ocr: Any) -> None:
    assert ocr.post(b"no picture").status == 400
    assert ocr.post(white_png(200, 100)[:60]).status == 400


def test_speech_is_found_where_it_is(speech: Any) -> None:
    """The example: half a second of silence, two words, a second of silence, a sentence."""
    greeting, sentence = speech.invoke()["data"]

    assert (greeting["start"], greeting["end"]) == pytest.approx((0.5, 1.4), abs=0.15)
    assert (sentence["start"], sentence["end"]) == pytest.approx((2.6, 4.3), abs=0.25)


@pytest.mark.parametrize("samples", [0, 100, 512, 48_000])
def test_there_is_no_speech_in_silence(speech: Any, samples: int) -> None:
    reply = speech.post(wav(bytes(2 * samples)))

    assert (reply.status, reply.json()) == (200, [])


def test_speech_refuses_other_sounds_and_says_how_to_convert_them(speech: Any) -> None:
    reply = speech.post(wav(bytes(8000), rate=8000))

    assert reply.status == 400
    assert "ffmpeg" in reply.json()["detail"]


@pytest.mark.parametrize("body", [b"no sound", b"RIFF", b"RIFF\xff\xff\xff\xffWAVE"])
def test_speech_refuses_what_is_no_sound(speech: Any, body: bytes) -> None:
    assert speech.post(body).status == 400


def test_enrich_looks_up_scores_and_logs(serve: Any, tmp_path: Path) -> None:
    database = tmp_path / "customers.db"

    with serve(SAMPLES / "enrich", DATABASE=str(database)) as enrich:
        answers = [enrich.post({"customer": number}).json() for number in (7, 8)]
        unknown = enrich.post({"customer": 9999})
        wrong = enrich.post({"customer": "Ada"})

    new, loyal = answers
    assert new["risk"] > 0.5 > loyal["risk"]
    assert (unknown.status, wrong.status) == (404, 400)
    # The function has drained: what runs after a reply has run.
    with closing(sqlite3.connect(database)) as opened:
        log = opened.execute("SELECT customer, risk FROM predictions ORDER BY customer").fetchall()
    assert log == [(answer["customer"], answer["risk"]) for answer in answers]


def test_enrich_can_be_trained_again(uv_run: Any, tmp_path: Path) -> None:
    source = SAMPLES / "enrich"
    for name in ("train.py", "customers.csv"):
        (tmp_path / name).write_bytes((source / name).read_bytes())

    uv_run(tmp_path / "train.py")

    made, kept = (json.loads((root / "model.json").read_text()) for root in (tmp_path, source))
    assert made["weights"] == pytest.approx(kept["weights"], rel=1e-6)


def scores_by_sentence(matches: list[dict[str, Any]]) -> dict[str, float]:
    return {match["sentence"]: match["score"] for match in matches}


def wav(samples: bytes, rate: int = 16_000) -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return sound.getvalue()


def white_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
