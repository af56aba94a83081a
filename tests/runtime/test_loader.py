"""Every way a predictor can be missing or wrong has its own message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlfunc_runtime.errors import StartupError, user_traceback
from mlfunc_runtime.testing import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[..., Path]


def failure(folder: Path) -> StartupError:
    """How the start of this function fails."""
    with pytest.raises(StartupError) as raised, Client(folder):
        pass
    return raised.value


@pytest.mark.parametrize(
    ("predictor", "message", "hint"),
    [
        ("predict.py:P", "predictor file predict.py does not exist", "there are predictor.py; did you mean predictor.py?"),
        ("predictor.py:Q", "class Q in predictor.py does not exist", "it defines P, Other"),
        ("predictor.py:Othr", "class Othr in predictor.py does not exist", "it defines P, Other; did you mean Other?"),
        ("predictor.py:number", "class number in predictor.py is no class", "it defines P, Other"),
        ("predictor.py", "predictor: 'predictor.py' is no predictor", "write it like predictor.py:Predictor"),
        ("predictor:P", "predictor: 'predictor:P' is no predictor", "write it like predictor.py:Predictor"),
    ],
)  # fmt: skip
def test_a_predictor_that_is_not_there(
    write: Write, predictor: str, message: str, hint: str
) -> None:
    folder = write(
        "class P:\n    def predict(self, n: int): return n\nclass Other: pass\nnumber = 1\n",
        predictor=predictor,
    )
    error = failure(folder)
    assert str(error).startswith(message)
    assert error.hint == hint


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("pass", "P has no method predict", "it has none"),
        ("def predct(self): pass", "P has no method predict", "it has predct; did you mean predct?"),
        ("predict = 3", "P.predict is no method but int", ""),
        ("async def predict(self, n): pass", "P.predict is `async def`",
         "make it `def`, it has a thread of its own; IO belongs in before_predict (async or not)"),
        ("async def predict(self, n): yield 1", "P.predict is `async def`", "make it `def`, it has a thread"),
        ("def __init__(self, path): pass\n    def predict(self, n): pass", "P() needs path", "a predictor is made without arguments"),
        ("def __init__(self): raise OSError('x')\n    def predict(self, n): pass", "P() raised OSError: x", ""),
        ("def predict(self, n): pass\n    def load(self, ctx): pass", "P.load asks for `ctx`, which nobody passes", "it may ask for context"),
        ("def predict(self, n): pass\n    def after_predict(self, results): pass",
         "P.after_predict asks for `results`, which nobody passes",
         "it may ask for result, request, event; did you mean result?"),
        ("def predict(self, n): pass\n    def after_response(self, *a): pass",
         "P.after_response asks for `*a`, which nobody passes", "it may ask for"),
        ("def predict(self, n): pass\n    def after_response(self): yield", "P.after_response is a generator and would not run",
         "return a value instead of `yield`"),
        ("def predict(self, n): pass\n    load = 3", "P.load is no method but int", ""),
        ("def predict(self, n): pass\n    def before_predicts(self): pass", "P.before_predicts would never be called",
         "did you mean before_predict?"),
        ("def predict(self, n): yield n\n    def after_predict(self, result): pass",
         "predict is a generator, so after_predict has no result to change", "change each item"),
        ("def predict(self, a, b): pass\n    def size(self, item): pass", "P.size asks for `item`, which nobody passes",
         "it may ask for a, b"),
        ("def predict(self, text): pass\n    def size(self, text, lenght): pass", "P.size asks for `lenght`, which nobody passes",
         "it may ask for text"),
        ("def predict(self, n): pass\n    def size(self): pass", "P.size asks for nothing of a request",
         "name those fields of a request that it needs"),
        ("def predict(self, n): pass\n    async def size(self, n): pass", "P.size is `async def`", "make it `def`"),
        ("def predict(self, n): pass\n    def size(self, n): yield 1", "P.size is a generator and would not run", "return a value"),
        ("example = object()\n    def predict(self, n): pass", "`example` cannot be sent as JSON", "use JSON data"),
        ("from pathlib import Path\n    example = Path('none.png')\n    def predict(self, n): pass",
         "`example` is the file none.png, which does not exist", "write it relative to"),
    ],
)  # fmt: skip
def test_a_class_that_is_no_predictor(write: Write, body: str, message: str, hint: str) -> None:
    error = failure(write(f"class P:\n    {body}\n"))
    assert str(error).startswith(message)
    assert error.hint.startswith(hint)
    assert bool(error.hint) == bool(hint)


def test_a_stream_cannot_be_batched(write: Write) -> None:
    folder = write(
        "class P:\n    def predict(self, n: list[int]): yield n", serve={"batch": {"max_size": 2}}
    )
    assert "set it to 1" in failure(folder).hint


def test_a_missing_package_is_named(write: Write) -> None:
    error = failure(write("import not_there.at_all"))
    assert str(error) == "predictor.py needs not_there, which is not installed"
    assert "requirements.txt" in error.hint


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("import json\njson.loads('{')", "json.decoder.JSONDecodeError: Expecting property name"),
        ("exit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_raises_shows_the_users_frames_only(
    write: Write, source: str, last: str
) -> None:
    error = failure(write(source))
    assert error.__cause__ is not None
    text = user_traceback(error.__cause__)
    assert "predictor.py" in text
    assert "mlfunc_runtime" not in text
    assert text.splitlines()[-1].startswith(last)


@pytest.mark.parametrize(
    "load", ["def load(self): 1 / 0", "async def load(self): 1 / 0", "def load(self): exit(3)"]
)
def test_a_load_that_raises_is_told_with_its_cause(write: Write, load: str) -> None:
    error = failure(write(f"class P:\n    {load}\n    def predict(self, n: int): return n"))
    assert str(error) in (
        "load raised ZeroDivisionError: division by zero",
        "load raised SystemExit: 3",
    )
    assert error.__cause__ is not None


def test_a_warm_up_that_fails_ends_the_start(write: Write) -> None:
    error = failure(
        write("class P:\n    example = {'m': 1}\n    def predict(self, n: int): return n")
    )
    assert str(error).startswith("`example` was refused: unknown field `m`")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "there is no model 'default'"),
        ({"default": "./weights"}, "model 'default' is not at"),
        ({"default": "hf://org/name"}, "model 'default' (hf://org/name) has no path here"),
    ],
)
def test_a_model_that_is_not_there_is_named(
    write: Write, models: dict[str, str], message: str
) -> None:
    source = """
        class P:
            def load(self, context): context.model("default")
            def predict(self, n: int): return n
    """
    error = failure(write(source, models=models))
    assert str(error).startswith(message)
    assert error.hint


def test_the_project_s_other_modules_can_be_imported(write: Write) -> None:
    folder = write("from words import N\nclass P:\n    def predict(self, n: int): return n + N")
    (folder / "words.py").write_text("N = 40\n")
    with Client(folder) as client:
        assert client.post({"n": 2}).json() == 42


def test_load_gets_what_it_asks_for(write: Write) -> None:
    source = """
        class P:
            def load(self, context):
                self.seen = [str(context.model()), context.device, dict(context.config), context.logger.name]
            def predict(self, n: int): return self.seen
            def unload(self, context): print("unloaded")
    """
    folder = write(source, models={"default": "./weights"}, config={"beam": 4})
    (folder / "weights").mkdir()
    with Client(folder) as client:
        expected: list[Any] = [str(folder / "weights"), "cpu", {"beam": 4}, "sample"]
        assert client.post({"n": 1}).json() == expected
    with Client(folder, models={"default": folder}) as client:
        assert client.post({"n": 1}).json()[0] == str(folder)


@pytest.mark.parametrize(
    "source",
    [
        "import functools\ndef f(self, n: int, k): return n * k\nclass P:\n    predict = functools.partialmethod(f, k=2)",
        "import functools\nclass P:\n    def __init__(self): self.predict = functools.partial(lambda n, k: n * k, k=2)",
        "class P(dict):\n    def predict(self, n: int): return n * 2",
        "class P:\n    @staticmethod\n    def predict(n: int): return n * 2",
        "class P:\n    @classmethod\n    def predict(cls, n: int): return n * 2",
        "class Base:\n    def predict(self, n: int): return n * 2\nclass P(Base): pass",
        "class P:\n    def predict(self, n: int): return self._predict(n)\n    def _predict(self, n): return n * 2\n    def predict2(self): pass",
        "class P:\n    def __getattr__(self, name): return getattr(self.model, name)\n    def load(self): self.model = 'text'\n    def predict(self, n: int): return n * 2",
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mlfunc_runtime import Request, Context\nclass P:\n    def load(self, context: Context): pass\n    def before_predict(self, request: Request, n: int) -> Missing: return n * 2\n    def predict(self, n: int) -> Missing: return n",
        "class P:\n    def load(self, context, verbose=False): pass\n    def predict(self, n: int): return n * 2\n    def after_predict(self, result, **rest): return result if rest['request'] else 0",
    ],
    ids=["partialmethod", "partial", "dict", "static", "class", "inherited", "private", "proxy", "type checking", "defaults"],
)  # fmt: skip
def test_predictors_may_be_written_in_many_ways(write: Write, source: str) -> None:
    with Client(write(source)) as client:
        assert client.post({"n": 4}).json() == 8


@pytest.mark.parametrize(
    ("annotation", "body", "expected"),
    [
        ("dict | None = None", b'{"a": 1}', {"a": 1}),
        ("dict | None = None", b"", None),
        ("Annotated[dict, 1]", b'{"a": 1}', {"a": 1}),
        ("Optional[dict]", b"null", None),
    ],
)
def test_an_object_that_may_be_missing_is_still_the_whole_body(
    write: Write, annotation: str, body: bytes, expected: Any
) -> None:
    source = f"from typing import Annotated, Optional\nclass P:\n    def predict(self, body: {annotation}): return body"
    with Client(write(source)) as client:
        assert client.post(body, content_type="application/json").json() == expected


def test_modules_beside_the_predictor_can_be_imported_wherever_it_is(write: Write) -> None:
    folder = write("", predictor="src/model.py:P")
    (folder / "src").mkdir()
    (folder / "src" / "numbers_of.py").write_text("N = 2\n")
    model = folder / "src" / "model.py"
    model.write_text(
        "from numbers_of import N\nclass P:\n    def predict(self, n: int): return n * N\n"
    )
    with Client(folder) as client:
        assert client.post({"n": 2}).json() == 4


def test_a_hook_with_positional_only_parameters_is_refused(write: Write) -> None:
    error = failure(
        write(
            "class P:\n    def predict(self, n): pass\n    def after_response(self, result, /): pass"
        )
    )
    assert str(error) == "P.after_response asks for `result`, which nobody passes"


@pytest.mark.parametrize(
    ("body", "size", "message"),
    [
        ("def predict(self, batch): pass\n    def collate(self, a: list): pass", 1,
         "P.collate makes batches, but serve.batch.max_size is 1"),
        ("def predict(self, a, b): pass\n    def collate(self, a: list): pass", 2,
         "predict takes a, b instead of what collate returns"),
        ("def predict(self, batch): pass\n    def collate(self): pass", 2, "P.collate asks for nothing of a request"),
        ("def predict(self, batch): pass\n    async def collate(self, a: list): pass", 2, "P.collate is `async def`"),
        ("def predict(self, batch): pass\n    def collate(self, a: int): pass", 2,
         "collate: serve.batch.max_size is above 1, but `a: int` is no list"),
    ],
)  # fmt: skip
def test_a_collate_that_does_not_fit(write: Write, body: str, size: int, message: str) -> None:
    error = failure(write(f"class P:\n    {body}\n", serve={"batch": {"max_size": size}}))
    assert str(error).startswith(message)
    assert error.hint


def test_a_number_by_the_name_of_size_is_the_predictor_s_own(write: Write) -> None:
    with Client(
        write("class P:\n    size = 224\n    def predict(self, n: int): return n")
    ) as client:
        assert client.post({"n": 2}).json() == 2
