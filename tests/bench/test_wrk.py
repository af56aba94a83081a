from __future__ import annotations

from lib import wrk

SAID = """Running 1s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.82ms    1.07ms  20.31ms   92.46%
    Req/Sec     5.73k   503.94     6.36k    80.00%
  5703 requests in 1.00s, 1.18MB read
Requests/sec:   5698.83
Transfer/sec:      1.18MB
"""


def test_what_wrk_prints_is_read() -> None:
    assert wrk.parse(SAID) == wrk.Result(5703, 5698.83, 0)


def test_errors_of_both_kinds_are_added_up() -> None:
    errors = (
        "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 90\n"
    )

    assert wrk.parse(SAID.replace("Requests/sec", f"{errors}Requests/sec")).errors == 100
