"""Any tree there is, for the tests of what is done with trees."""

from __future__ import annotations

from hypothesis import strategies as st
from mlfunc.layers import tree
from mlfunc.layers.tree import File, Folder, Link, Tree

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PATHS = st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=4).map(
    "/".join
)
ENTRIES = st.one_of(
    st.builds(
        File, PATHS, st.lists(st.binary(max_size=2000), max_size=3).map(tuple), st.booleans()
    ),
    st.builds(
        Link,
        PATHS,
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    ),
    st.builds(Folder, PATHS),
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any that is one: what leads through a file or is there twice is left out."""
    chosen: dict[str, tree.Entry] = {}
    for entry in draw(st.lists(ENTRIES, max_size=8)):
        below = any(path.startswith(f"{entry.path}/") for path in chosen)
        above = any(
            not isinstance(chosen.get(p, Folder(p)), Folder) for p in tree.parents(entry.path)
        )
        if entry.path not in chosen and not above and (isinstance(entry, Folder) or not below):
            chosen[entry.path] = entry
    return Tree(tuple(chosen.values()))
