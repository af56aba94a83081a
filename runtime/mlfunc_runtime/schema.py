"""Annotations of a predictor: how a body becomes its arguments, and the JSON Schemas of both ends.

A `Binding` is made once, when the predictor is loaded: it knows which parameters come from the
body, decodes and validates them in one pass (msgspec), and says which part of the wire a mistake is
in.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from mlfunc_runtime.errors import Problem, StartupError

Kind = Literal["fields", "body", "bytes", "nothing"]

INJECTED = ("event", "request")
LARGE = 128 * 1024  # bytes that are decoded in pieces: they take milliseconds in one go
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"(?:unknown|missing required) field `(?P<name>[^`]+)`")
_TOO_DEEP = "the body is nested too deeply"


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """How one method's arguments come out of a body.

    `kind` is "fields" (each parameter a field of the JSON object), "body" (one parameter gets the
    decoded body), "bytes" (one gets the raw body) or "nothing" (no parameter: any body will do).
    `injected` are the parameters that get the event or the request; `needs_event` says that a plain
    request is not enough.
    """

    kind: Kind
    names: tuple[str, ...]
    injected: tuple[str, ...]
    needs_event: bool
    defaults: dict[str, Any]
    type: Any
    decode: Callable[[bytes], Any]

    def from_body(self, body: bytes) -> dict[str, Any]:
        """Arguments by name out of a JSON or raw body.

        Raises:
            Problem: 400 that names the field.

        """
        if self.kind == "bytes":
            return {self.names[0]: body}
        if not body:
            return self._from_nothing()
        try:
            return self._named(self.decode(body))
        except msgspec.ValidationError as error:
            raise self._invalid(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, f"the body is no valid JSON: {error}") from None
        except RecursionError:
            raise Problem(400, _TOO_DEEP) from None

    def from_data(
        self, data: Any, *, strict: bool = True, str_keys: bool = False
    ) -> dict[str, Any]:
        """Arguments by name out of data that was decoded before: an event's, a text, or a form's.

        A form's values are text; with `strict=False` `"3"` is a number where one is wanted. The
        keys of JSON are text; with `str_keys` they may be.
        """
        if self.kind == "bytes":
            return {self.names[0]: _as_bytes(data)}
        try:
            value = msgspec.convert(
                data, self.type, strict=strict, str_keys=str_keys, dec_hook=read_array
            )
        except msgspec.ValidationError as error:
            raise self._invalid(error) from None
        except RecursionError:
            raise Problem(400, _TOO_DEEP) from None
        return self._named(value)

    def from_text(self, text: str) -> dict[str, Any]:
        """Arguments out of a plain text: the whole input, or the only field that must be there."""
        required = [name for name in self.names if name not in self.defaults]
        if self.kind == "fields" and len(required) == 1:
            return self.from_data({required[0]: text})
        return self.from_data(text)

    def from_result(self, value: Any) -> dict[str, Any]:
        """Arguments out of what `before_predict` returned: one value, or a mapping for several."""
        if len(self.names) == 1:
            return {self.names[0]: value}
        if isinstance(value, Mapping) and set(value) <= set(self.names):
            return self.complete(value)
        names = ", ".join(self.names)
        message = f"before_predict must return a mapping with {names}, not {type(value).__name__}"
        raise TypeError(message)

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`arguments` with the defaults of those that are not there, copied for this request."""
        missing = [n for n in self.names if n not in arguments and n not in self.defaults]
        if missing:
            message = f"before_predict returned no {', '.join(missing)}, which predict needs"
            raise TypeError(message)
        return {
            name: arguments[name] if name in arguments else copy.copy(self.defaults[name])
            for name in self.names
        }

    def expectation(self) -> str:
        """What a body has to be, as the end of a sentence."""
        match self.kind:
            case "bytes":
                return "expected the raw bytes"
            case "fields":
                return f"expected a JSON object with {', '.join(self.names)}"
            case _:
                return "expected JSON"

    def _from_nothing(self) -> dict[str, Any]:
        if self.kind == "nothing" or (self.kind == "body" and self.defaults):
            return self.complete({})
        raise Problem(400, f"the body is empty; {self.expectation()}")

    def _named(self, value: Any) -> dict[str, Any]:
        if self.kind == "body":
            return {self.names[0]: value}
        if self.kind == "nothing":
            return {}
        return {name: getattr(value, name) for name in self.names}

    def _invalid(self, error: msgspec.ValidationError) -> Problem:
        """A 400 that says which field is wrong, out of msgspec's message."""
        message = str(error)
        at = _AT.search(message)
        field = at["path"] if at else ""
        text = message[: at.start()] if at else message
        named = _FIELD.search(text)
        if named:
            field = f"{field}.{named['name']}".lstrip(".")
            text = text.replace("Object contains ", "").replace("Object ", "")
        detail = text if named or not field else f"{field}: {text}"
        known = f"; {self.expectation()}" if "." not in field and (named or not field) else ""
        return Problem(400, detail + known, field=field or None)


def bind(method: Callable[..., Any], *, batched: bool = False) -> Binding:
    """Work out how `method` is called.

    With `batched` each annotation is a list of what one request sends.

    Raises:
        StartupError: a parameter cannot be filled, or an annotation cannot be validated.

    """
    where = name_of(method)
    parameters = parameters_of(method)
    _refuse_variadic(where, parameters)
    injected = tuple(p.name for p in parameters if p.name in INJECTED)
    wanted = [p for p in parameters if p.name not in INJECTED]
    types_by_name = {p.name: _element(where, p, _hint(method, p), batched) for p in wanted}
    defaults = {p.name: p.default for p in wanted if p.default is not p.empty}
    kind, body_type = _shape(where, types_by_name, defaults)
    decode = _decoder(where, body_type, types_by_name if kind == "fields" else {})
    needs = needs_event(method)
    return Binding(kind, tuple(types_by_name), injected, needs, defaults, body_type, decode)


def parameters_of(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a bound method, of whatever makes it callable."""
    try:
        return list(inspect.signature(method).parameters.values())
    except ValueError as error:
        raise StartupError(f"{name_of(method)} tells nothing of its parameters: {error}") from None


def needs_event(method: Callable[..., Any]) -> bool:
    """Whether it asks for the event, and would not do without."""
    return any(p.name == "event" and p.default is p.empty for p in parameters_of(method))


def name_of(method: Callable[..., Any]) -> str:
    """What to call it in a message."""
    return str(getattr(_function(method), "__name__", type(method).__name__))


def streams(predict: Callable[..., Any]) -> bool:
    """Whether it is a generator, or says that it returns one."""
    function = _function(predict)
    returned = get_origin(_returned(predict)) or _returned(predict)
    return inspect.isgeneratorfunction(function) or returned in (Generator, Iterator)


def output_type(predict: Callable[..., Any], *, batched: bool) -> Any:
    """What one request gets back, by the return annotation; `Any` where there is none.

    Of a stream, it is the type of an item.
    """
    hint = _returned(predict)
    if (batched and (get_origin(hint) or hint) is list) or streams(predict):
        return (get_args(hint) or (Any,))[0]
    return Any if batched else hint


def json_schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of `kind`, with `$defs` inside; `{}` for what has none."""
    if kind is bytes:
        return {"type": "string", "format": "binary"}
    try:
        schema = msgspec.json.schema(kind, schema_hook=_array_schema)
    except (TypeError, RuntimeError):
        return {}
    return _inline_root(schema)


def components(kinds: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The JSON Schemas of `kinds`, and what they refer to in `#/components/schemas` of OpenAPI."""
    known = [kind for kind in kinds if kind is not bytes and json_schema(kind)]
    template = "#/components/schemas/{name}"
    found, shared = msgspec.json.schema_components(
        known, schema_hook=_array_schema, ref_template=template
    )
    by_kind = dict(zip(map(id, known), found, strict=True))
    return [by_kind.get(id(kind)) or json_schema(kind) for kind in kinds], shared


def _function(method: Callable[..., Any]) -> Any:
    """The plain function within: annotations are resolved in its module."""
    while True:
        if isinstance(method, functools.partial):
            method = method.func
        elif (wrapped := getattr(method, "__wrapped__", None)) is not None:
            method = wrapped
        elif inspect.ismethod(method):
            method = method.__func__
        else:
            return method


def _hint(method: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Each annotation is resolved by itself: those that nobody needs may name what is only there
    for a type checker.
    """
    if parameter.annotation is parameter.empty:
        return Any
    try:
        return _resolve(method, parameter.annotation)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        hint = "annotations are read when the predictor is loaded: import what they name"
        where = f"{name_of(method)}: the annotation of {parameter.name} does not resolve: {error}"
        raise StartupError(where, hint) from None


def _returned(predict: Callable[..., Any]) -> Any:
    annotation = inspect.signature(predict).return_annotation
    try:
        return Any if annotation is inspect.Signature.empty else _resolve(predict, annotation)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


def _resolve(method: Callable[..., Any], annotation: Any) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    names = getattr(_function(method), "__globals__", {})
    return get_type_hints(holder, globalns=names, include_extras=True)["it"]


def _refuse_variadic(where: str, parameters: list[inspect.Parameter]) -> None:
    for parameter in parameters:
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            hint = "name each parameter: it is a field of the JSON object"
            raise StartupError(f"{where}: `{parameter}` cannot be filled from a request", hint)


def _element(where: str, parameter: inspect.Parameter, hint: Any, batched: bool) -> Any:
    if not batched or hint is Any:
        return hint
    plain = _without_extras(hint)
    if get_origin(plain) is not list and plain is not list:
        wanted = f"{parameter.name}: list[{getattr(plain, '__name__', plain)}]"
        fix = f"write `{wanted}`, or set max_size to 1"
        raise StartupError(
            f"{where}: serve.batch.max_size is above 1, but `{parameter}` is no list", fix
        )
    return (get_args(plain) or (Any,))[0]


def _shape(where: str, by_name: dict[str, Any], defaults: dict[str, Any]) -> tuple[Kind, Any]:
    if not by_name:
        return "nothing", Any
    only = next(iter(by_name.values())) if len(by_name) == 1 else None
    if only is not None and _without_extras(only) is bytes:
        return "bytes", bytes
    if only is Any and not defaults:
        return "body", Any
    if only is not None and _is_object(only):
        return "body", only
    fields: list[Any] = [(name, by_name[name]) for name in by_name if name not in defaults]
    fields += [
        (name, by_name[name], _default(defaults[name])) for name in by_name if name in defaults
    ]
    try:
        struct = msgspec.defstruct("Input", fields, forbid_unknown_fields=True, kw_only=True)
    except (TypeError, ValueError) as error:
        raise StartupError(
            f"{where}: its parameters cannot be the fields of a JSON object: {error}"
        ) from None
    return "fields", struct


def _default(value: Any) -> Any:
    """A mutable default is copied for each request; as a plain default msgspec would refuse it."""
    if isinstance(value, (list, dict, set)):
        return msgspec.field(default_factory=lambda: copy.copy(value))
    return value


def _without_extras(kind: Any) -> Any:
    """`Annotated[X, ...]` and `X | None` as X."""
    if get_origin(kind) is Annotated:
        return _without_extras(get_args(kind)[0])
    plain = _without_none(kind)
    return kind if plain is kind else _without_extras(plain)


def _without_none(kind: Any) -> Any:
    """`X | None` as X."""
    if get_origin(kind) in (Union, types.UnionType):
        some = [each for each in get_args(kind) if each is not type(None)]
        return some[0] if len(some) == 1 else kind
    return kind


def _is_object(kind: Any) -> bool:
    plain = _without_extras(kind)
    plain = get_origin(plain) or plain
    if not isinstance(plain, type):
        return is_typeddict(plain)
    known = issubclass(plain, (Mapping, msgspec.Struct)) or is_typeddict(plain)
    return known or dataclasses.is_dataclass(plain)


def _decoder(where: str, kind: Any, fields: Mapping[str, Any]) -> Callable[[bytes], Any]:
    try:
        msgspec.json.schema(kind, schema_hook=_array_schema)
        whole = msgspec.json.Decoder(kind, dec_hook=read_array).decode
    except TypeError as error:
        hint = "annotate with what JSON can hold (str, float, list, dataclass, ...), convert inside"
        raise StartupError(
            f"{where}: an annotation cannot be read from JSON: {error}", hint
        ) from None

    @functools.cache
    def in_pieces() -> Callable[[bytes], Any]:
        from mlfunc_runtime import pieces

        plain = {name: _without_none(each) for name, each in fields.items()}
        return pieces.decoder(whole, kind, plain)

    return lambda body: whole(body) if len(body) < LARGE else in_pieces()(body)


def array_type(kind: Any) -> Callable[[Any], Any] | None:
    """What makes an array or tensor of nested lists, if `kind` is one of a library that is used."""
    for module, name, make in (("numpy", "ndarray", "asarray"), ("torch", "Tensor", "as_tensor")):
        library = sys.modules.get(module)
        if library is not None and (get_origin(kind) or kind) is getattr(library, name):
            maker: Callable[[Any], Any] = getattr(library, make)
            return maker
    return None


def read_array(kind: type, value: Any) -> Any:
    """What msgspec asks for types that it does not know."""
    make = array_type(kind)
    if make is None:
        raise NotImplementedError
    return make(value)


def _array_schema(kind: type) -> dict[str, Any]:
    if array_type(kind) is None:
        message = f"{kind.__name__} has no JSON form"
        raise TypeError(message)
    return {"type": "array"}


def _as_bytes(data: Any) -> bytes:
    match data:
        case None:
            return b""
        case bytes() | bytearray():
            return bytes(data)
        case str():
            return data.encode()
        case _:
            return msgspec.json.encode(data)


def _inline_root(schema: dict[str, Any]) -> dict[str, Any]:
    """A root that is a lone `$ref` is replaced by what it names: readers want the object on top."""
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definitions = dict(schema.get("$defs", {}))
    name = reference.rpartition("/")[2]
    root = definitions.pop(name)
    if f'"{reference}"'.encode() in msgspec.json.encode([root, definitions]):
        definitions[name] = root
    return dict(root) | ({"$defs": definitions} if definitions else {})
