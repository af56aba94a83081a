"""Annotations of a predictor -> how a body becomes its arguments, and the JSON Schemas of both
ends.

A `Binding` is made once, when the predictor is loaded: it knows which parameters come from the
body, decodes and validates them in one pass (msgspec), and says which part of the wire a mistake is
in.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from mlfunc_runtime.errors import Problem, StartupError

Kind = Literal["fields", "body", "bytes", "nothing"]

INJECTED = ("event", "request")
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"(?:unknown|missing required) field `(?P<name>[^`]+)`")


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """How one method's arguments come out of a body.

    `kind` is "fields" (each parameter a field of the JSON object), "body" (one parameter gets the
    decoded body), "bytes" (one gets the raw body) or "nothing". `injected` are the parameters that
    get the event or the request; `needs_event` says that a plain request is not enough.
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
        if not body and self.kind != "nothing":
            raise Problem(400, f"the body is empty; {self.expectation()}")
        try:
            return self._named(self.decode(body or b"null"))
        except msgspec.ValidationError as error:
            raise self._invalid(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, f"the body is no valid JSON: {error}") from None

    def from_data(self, data: Any, *, strict: bool = True) -> dict[str, Any]:
        """Arguments by name out of data that was decoded before: an event's, a text, or a form's
        (`strict=False`: `"3"` is 3).
        """
        if self.kind == "bytes":
            return {self.names[0]: _as_bytes(data)}
        try:
            return self._named(
                msgspec.convert(data, self.type, strict=strict, dec_hook=_read_array)
            )
        except msgspec.ValidationError as error:
            raise self._invalid(error) from None

    def from_result(self, value: Any) -> dict[str, Any]:
        """Arguments out of what `before_predict` returned: one for the only parameter, a mapping
        for several.
        """
        if len(self.names) == 1:
            return {self.names[0]: value}
        if isinstance(value, Mapping) and set(value) <= set(self.names):
            return self.defaults | dict(value)
        names = ", ".join(self.names)
        message = f"before_predict must return a mapping with {names}, not {type(value).__name__}"
        raise TypeError(message)

    def from_text(self, text: str) -> dict[str, Any]:
        """Arguments out of a plain text: the whole input, or the only field that must be there."""
        required = [name for name in self.names if name not in self.defaults]
        if self.kind == "fields" and len(required) == 1:
            return self.from_data({required[0]: text})
        return self.from_data(text)

    def expectation(self) -> str:
        """What a body has to be, as the end of a sentence."""
        match self.kind:
            case "bytes":
                return "expected the raw bytes"
            case "fields":
                return f"expected a JSON object with {', '.join(self.names)}"
            case _:
                return "expected JSON"

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


def bind(
    method: Callable[..., Any], *, batched: bool = False, skip: tuple[str, ...] = ()
) -> Binding:
    """Work out how `method` is called. `skip` names parameters that the caller fills itself.

    With `batched` each annotation is a list of what one request sends.

    Raises:
        StartupError: a parameter cannot be filled, or an annotation cannot be validated.

    """
    where = method.__name__
    hints = _hints(method)
    parameters = [p for p in inspect.signature(method).parameters.values() if p.name not in skip]
    _refuse_variadic(where, parameters)
    injected = tuple(p.name for p in parameters if p.name in INJECTED)
    wanted = [p for p in parameters if p.name not in INJECTED]
    types = {p.name: _element(where, p, hints, batched=batched) for p in wanted}
    defaults = {p.name: p.default for p in wanted if p.default is not p.empty}
    needs_event = any(p.name == "event" and p.default is p.empty for p in parameters)
    kind, body_type = _shape(where, types, defaults)
    decoder = _decoder(where, body_type)
    return Binding(kind, tuple(types), injected, needs_event, defaults, body_type, decoder)


def output_type(method: Callable[..., Any], *, batched: bool) -> Any:
    """What one request gets back, by the return annotation; `Any` where there is none."""
    hint = _hints(method).get("return", Any)
    if batched or get_origin(hint) in (Generator, Iterator, Iterable):
        return (get_args(hint) or (Any,))[0]
    return hint


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


def _hints(method: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(method, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        hint = "annotations are read when the predictor is loaded: import what they name"
        raise StartupError(
            f"an annotation of {method.__qualname__} does not resolve: {error}", hint
        ) from None


def _refuse_variadic(where: str, parameters: list[inspect.Parameter]) -> None:
    for parameter in parameters:
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            hint = "name each parameter: it is a field of the JSON object"
            raise StartupError(f"{where}: `{parameter}` cannot be filled from a request", hint)


def _element(
    where: str, parameter: inspect.Parameter, hints: dict[str, Any], *, batched: bool
) -> Any:
    hint = hints.get(parameter.name, Any)
    if not batched or hint is Any:
        return hint
    if get_origin(hint) is not list and hint is not list:
        wanted = f"{parameter.name}: list[{getattr(hint, '__name__', hint)}]"
        fix = f"write `{wanted}`, or set max_size to 1"
        raise StartupError(
            f"{where}: serve.batch.max_size is above 1, but `{parameter}` is no list", fix
        )
    return (get_args(hint) or (Any,))[0]


def _shape(where: str, types: dict[str, Any], defaults: dict[str, Any]) -> tuple[Kind, Any]:
    if not types:
        return "nothing", Any
    (name, only), single = next(iter(types.items())), len(types) == 1
    if single and only is bytes:
        return "bytes", bytes
    if single and name not in defaults and (only is Any or _is_object(only)):
        return "body", only
    fields: list[Any] = [(name, types[name]) for name in types if name not in defaults]
    fields += [(name, types[name], _default(defaults[name])) for name in types if name in defaults]
    try:
        return "fields", msgspec.defstruct(
            "Input", fields, forbid_unknown_fields=True, kw_only=True
        )
    except (TypeError, ValueError) as error:
        raise StartupError(
            f"{where}: its parameters cannot be the fields of a JSON object: {error}"
        ) from None


def _default(value: Any) -> Any:
    """A mutable default is copied for each request; as a plain default msgspec would refuse it."""
    if isinstance(value, (list, dict, set)):
        return msgspec.field(default_factory=lambda: value.copy())
    return value


def _is_object(kind: Any) -> bool:
    plain = get_origin(kind) or kind
    if not isinstance(plain, type):
        return is_typeddict(kind)
    known = issubclass(plain, (Mapping, msgspec.Struct)) or is_typeddict(plain)
    return known or dataclasses.is_dataclass(plain)


def _decoder(where: str, kind: Any) -> Callable[[bytes], Any]:
    try:
        msgspec.json.schema(kind, schema_hook=_array_schema)
        return msgspec.json.Decoder(kind, dec_hook=_read_array).decode
    except TypeError as error:
        hint = "annotate with what JSON can hold (str, float, list, dataclass, ...), convert inside"
        raise StartupError(
            f"{where}: an annotation cannot be read from JSON: {error}", hint
        ) from None


def _array_type(kind: Any) -> Callable[[Any], Any] | None:
    """What makes an array or tensor of nested lists, if `kind` is one of a library that is used."""
    for module, name, make in (("numpy", "ndarray", "asarray"), ("torch", "Tensor", "as_tensor")):
        library = sys.modules.get(module)
        if library is not None and (get_origin(kind) or kind) is getattr(library, name):
            maker: Callable[[Any], Any] = getattr(library, make)
            return maker
    return None


def _read_array(kind: type, value: Any) -> Any:
    make = _array_type(kind)
    if make is None:
        raise NotImplementedError
    return make(value)


def _array_schema(kind: type) -> dict[str, Any]:
    if _array_type(kind) is None:
        message = f"{kind.__name__} has no JSON form"
        raise TypeError(message)
    return {"type": "array"}


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if isinstance(data, str):
        return data.encode()
    return msgspec.json.encode(data)


def _inline_root(schema: dict[str, Any]) -> dict[str, Any]:
    """A root that is a lone `$ref` is replaced by what it names: readers want the object at the
    top.
    """
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    definitions = dict(schema.get("$defs", {}))
    name = reference.rpartition("/")[2]
    root = definitions.pop(name)
    if f'"{reference}"'.encode() in msgspec.json.encode([root, definitions]):
        definitions[name] = root
    return dict(root) | ({"$defs": definitions} if definitions else {})
