"""Which files go into which layer: laws for any model, and cases with their numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlfunc.lock import ModelFile
from mlfunc.models import shards
from mlfunc.models.shards import GIB, MIB, Piece, Shard, Whole, plan

SIZES = st.one_of(
    st.integers(0, 300 * MIB), st.integers(0, 5 * GIB), st.sampled_from([0, 64 * MIB, 2 * GIB])
)


@st.composite
def models(draw: st.DrawFn) -> list[ModelFile]:
    names = draw(st.lists(st.text("abc/", min_size=1, max_size=6), unique=True, max_size=150))
    return [ModelFile(name, draw(SIZES), "0" * 64) for name in names]


def whole(planned: tuple[Shard, ...]) -> list[Whole]:
    return [each for each in planned if isinstance(each, Whole)]


def pieces(planned: tuple[Shard, ...]) -> list[Piece]:
    return [each for each in planned if isinstance(each, Piece)]


@given(models(), st.data())
def test_each_file_is_in_one_layer_or_in_all_its_parts(
    files: list[ModelFile], data: st.DataObject
) -> None:
    partable = data.draw(st.sets(st.sampled_from([f.path for f in files]))) if files else set()

    planned = plan(files, partable)

    in_whole = [file.path for each in whole(planned) for file in each.files]
    in_parts = {each.file.path for each in pieces(planned)}
    assert sorted([*in_whole, *in_parts]) == sorted(file.path for file in files)
    assert in_parts <= partable
    for path in in_parts:
        of_file = [each for each in pieces(planned) if each.file.path == path]
        assert [each.number for each in of_file] == list(range(of_file[0].count))


@given(models())
def test_the_order_that_files_are_listed_in_means_nothing(files: list[ModelFile]) -> None:
    assert plan(files) == plan(files[::-1])


@given(models())
def test_layers_are_few_and_bundles_hold_to_their_limits(files: list[ModelFile]) -> None:
    planned = plan(files, [file.path for file in files])

    total = sum(file.size for file in files)
    limit = max(GIB, -(-total // 48))
    assert len(planned) <= 48 + 2 * 48 + 17
    for each in whole(planned):
        if len(each.files) > 1:
            assert each.size <= 2 * limit
    for piece in pieces(planned):
        assert piece.size <= limit


def test_a_small_model_is_its_weights_and_one_bundle() -> None:
    files = [ModelFile("config.json", 500, "a"), ModelFile("tok.json", 700_000, "b")]
    weights = ModelFile("model.safetensors", 91 * MIB, "c")

    assert plan([*files, weights]) == (Whole((weights,)), Whole(tuple(files)))


def test_a_model_of_forty_gigabytes_in_five_files_keeps_them() -> None:
    files = [ModelFile(f"model-{n}.safetensors", 8 * 10**9, "a") for n in range(5)]

    assert plan(files) == tuple(Whole((file,)) for file in files)


def test_one_file_of_forty_gigabytes_is_parted_into_forty() -> None:
    file = ModelFile("model.safetensors", 40 * GIB, "a")

    assert plan([file], ["model.safetensors"]) == tuple(Piece(file, n, 40) for n in range(40))


def test_a_file_of_two_gigabytes_stays_whole() -> None:
    file = ModelFile("model.safetensors", 2 * GIB, "a")

    assert plan([file], ["model.safetensors"]) == (Whole((file,)),)


def test_very_many_large_files_share_layers() -> None:
    files = [ModelFile(f"{n:04}", 100 * MIB, "a") for n in range(1000)]

    assert len(plan(files)) <= 49


def names(*paths: str) -> list[ModelFile]:
    return [ModelFile(path, 3 * GIB, "a") for path in paths]


def test_only_what_transformers_would_look_for_may_be_parted() -> None:
    assert shards.may_need_parts(names("x/model.safetensors", "x/config.json")) == (
        "x/model.safetensors",
    )
    assert shards.may_need_parts(names("model.safetensors", "x/config.json")) == ()
    assert shards.may_need_parts(names("unet.safetensors", "config.json")) == ()
    index = names("model.safetensors", "config.json", "model.safetensors.index.json")
    assert shards.may_need_parts(index) == ()


def test_a_layer_of_more_than_ten_gigabytes_and_a_parted_file_are_noted() -> None:
    huge = ModelFile("model.gguf", 12 * 10**9, "a")
    parted = ModelFile("model.safetensors", 3 * GIB, "a")

    told = list(shards.notes("big", plan([huge, parted], ["model.safetensors"])))

    assert [text.partition(",")[0] for text in told] == [
        "model big: model.gguf is one layer of 12 GB",
        "model big: model.safetensors goes into 3 parts and an index",
    ]
