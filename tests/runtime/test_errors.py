"""Tracebacks that show the user's code, and problems that show nothing else."""

from __future__ import annotations

import pytest
from mlfunc_runtime.errors import Problem, user_traceback


def test_a_traceback_begins_at_the_user_s_first_frame() -> None:
    scope: dict[str, object] = {"__file__": "predictor.py"}
    exec(compile("def predict(): return 1 / 0", "predictor.py", "exec"), scope)
    with pytest.raises(ZeroDivisionError) as raised:
        scope["predict"]()  # type: ignore[operator]
    text = user_traceback(raised.value)
    assert text.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert 'File "predictor.py", line 1, in predict' in text


def test_causes_are_shown_too() -> None:
    error = ValueError("second")
    error.__cause__ = KeyError("first")
    text = user_traceback(error)
    assert (
        text.index("KeyError: 'first'")
        < text.index("direct cause")
        < text.index("ValueError: second")
    )


def test_an_error_without_a_frame_of_the_user_has_no_traceback() -> None:
    assert user_traceback(ValueError("size returned -1")) == ""
    noted = ValueError("no")
    noted.add_note("but why")
    assert "but why" in user_traceback(noted)
    with pytest.raises(SyntaxError) as raised:
        compile("def", "predictor.py", "exec")
    assert 'File "predictor.py", line 1' in user_traceback(raised.value)


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    found = Problem(422, "n must be even", field="n").as_dict("r-1")
    assert found == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "n must be even",
        "request_id": "r-1",
        "field": "n",
    }
