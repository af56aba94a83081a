"""Licences as METADATA has them: SPDX where that is sure, else what they are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.wheels.licenses import Declared, declared, spdx_id

OSI = "Classifier: License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["License-Expression: MIT AND PSF-2.0", "License: MIT"], Declared("MIT AND PSF-2.0")),
        (["License-Expression: CNRI-Python"], Declared("CNRI-Python")),
        (["License: MIT license", f"{OSI}MIT License"], Declared("MIT")),
        (["License: Apache 2.0", f"{OSI}Apache Software License"], Declared("Apache-2.0")),
        (["License: MIT OR Apache-2.0"], Declared("MIT OR Apache-2.0")),
        (["License: MIT OR whatever"], Declared(None, ("MIT OR whatever",))),
        (["License: UNKNOWN", f"{OSI}ISC License (ISCL)"], Declared("ISC")),
        (["License: see LICENSE", f"{OSI}MIT License"], Declared("MIT")),
        ([f"{OSI}BSD License"], Declared(None, ("BSD License",))),
        (
            ["License: Dual License", f"{OSI}MIT License", f"{OSI}BSD License"],
            Declared(None, ("MIT License", "BSD License")),
        ),
        (["Classifier: License :: OSI Approved"], Declared()),
        (["License: Proprietary"], Declared(None, ("Proprietary",))),
        (["License: " + "Permission is hereby granted, " * 10, f"{OSI}MIT License"], Declared("MIT")),
        (["License: Copyright\n        2026\n        all of it"], Declared(None, ("Copyright 2026 all of it",))),
        (["License-File: LICENSE.txt"], Declared()),
        ([], Declared()),
    ],
    ids=lambda value: value[0].partition(": ")[2][:30] if value and isinstance(value, list) else "",
)  # fmt: skip
def test_the_clearest_word_counts(lines: list[str], told: Declared) -> None:
    head = ["Metadata-Version: 2.1", "Name: x", "Version: 1"]
    assert declared("\n".join([*head, *lines, "", "License: of the README"])) == told


@given(st.text())
def test_any_text_says_something_or_nothing(text: str) -> None:
    told = declared(text)
    assert told.spdx is None or not told.names


def test_an_identifier_is_known_by_its_names() -> None:
    assert spdx_id("The MIT License") == spdx_id("mit") == "MIT"
    assert spdx_id("BSD License") is None
