"""Under which licence a package comes, as its METADATA says: for the list of packages in an image.

Pure. Of several ways to say it, the clearest counts; what has no identifier of SPDX keeps its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

_LONGEST_NAME = 80  # a `License` with more is the licence itself
_OSI = "License :: OSI Approved"
_OPERATORS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()]")

# What classifiers and authors call licences -> SPDX. Where a classifier leaves the version or the
# number of clauses open ("BSD License"), there is none.
_SPDX = {
    "0BSD": ("BSD Zero Clause License", "Zero-Clause BSD (0BSD)"),
    "Apache-2.0": ("Apache 2.0", "Apache 2", "Apache License 2.0", "Apache License, Version 2.0"),
    "Artistic-2.0": (),
    "BSD-2-Clause": ("BSD 2-Clause", "BSD 2-Clause License", "Simplified BSD"),
    "BSD-3-Clause": ("BSD 3-Clause", "BSD 3-Clause License", "3-Clause BSD License", "New BSD"),
    "BSL-1.0": ("Boost Software License 1.0 (BSL-1.0)",),
    "CC0-1.0": ("CC0 1.0",),
    "EPL-2.0": ("Eclipse Public License 2.0 (EPL-2.0)",),
    "GPL-2.0-only": ("GNU General Public License v2 (GPLv2)",),
    "GPL-2.0-or-later": ("GNU General Public License v2 or later (GPLv2+)",),
    "GPL-3.0-only": ("GNU General Public License v3 (GPLv3)",),
    "GPL-3.0-or-later": ("GNU General Public License v3 or later (GPLv3+)",),
    "HPND": ("Historical Permission Notice and Disclaimer (HPND)",),
    "ISC": ("ISC License", "ISC License (ISCL)"),
    "LGPL-2.1-or-later": ("LGPLv2.1+",),
    "LGPL-3.0-only": ("GNU Lesser General Public License v3 (LGPLv3)",),
    "LGPL-3.0-or-later": ("GNU Lesser General Public License v3 or later (LGPLv3+)",),
    "MIT": ("MIT License", "The MIT License", "The MIT License (MIT)"),
    "MIT-0": ("MIT No Attribution License (MIT-0)",),
    "MPL-2.0": ("Mozilla Public License 2.0 (MPL 2.0)", "Mozilla Public License 2.0"),
    "NCSA": ("University of Illinois/NCSA Open Source License",),
    "PSF-2.0": ("PSF-2.0 License",),
    "Python-2.0": (),
    "Unlicense": ("The Unlicense (Unlicense)",),
    "Zlib": ("zlib/libpng License", "zlib"),
    "ZPL-2.1": ("ZPL 2.1",),
}
_IDS = {name.lower(): spdx for spdx, names in _SPDX.items() for name in (spdx, *names)}


@dataclass(frozen=True)
class Declared:
    """A licence as SPDX has it; else what it is called, several where there are several."""

    spdx: str | None = None
    names: tuple[str, ...] = ()


def declared(metadata: str) -> Declared:
    """What the text of a METADATA says."""
    headers = HeaderParser().parsestr(metadata)
    if expression := headers.get("License-Expression"):
        return Declared(expression.strip())
    said = _field(headers)
    if said and (spdx := _spdx(said)):
        return Declared(spdx)
    listed = tuple(dict.fromkeys(_classifiers(headers)))
    ids = [_IDS[name.lower()] for name in listed if name.lower() in _IDS]
    if len(ids) == len(listed) == 1:
        return Declared(ids[0])
    # Several may mean all of them, or one of them: nobody says.
    return Declared(None, listed or ((said,) if said else ()))


def spdx_id(name: str) -> str | None:
    """Of a licence that is called so."""
    return _IDS.get(name.lower())


def _field(headers: Message) -> str:
    """The old `License`: a name, if it is none of the things that people have put there instead."""
    said = " ".join(str(headers.get("License") or "").split())
    return said if len(said) <= _LONGEST_NAME and said.upper() != "UNKNOWN" else ""


def _spdx(said: str) -> str | None:
    """An identifier for a name, or an expression all of whose identifiers are known."""
    if said.lower() in _IDS:
        return _IDS[said.lower()]
    parts = [part for part in _OPERATORS.split(said) if part.strip()]
    return said if len(parts) > 1 and all(part in _SPDX for part in parts) else None


def _classifiers(headers: Message) -> Iterator[str]:
    for line in headers.get_all("Classifier") or ():
        if line.startswith("License :: ") and line != _OSI:
            yield line.rpartition(" :: ")[2]
