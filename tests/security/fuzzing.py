"""Requests made from descriptors, by a seed: as a client would send them, nearly so, and as an enemy would.

``valid`` requests name what there is and fill each field with what its name and kind suggest; ``near`` ones have one
field spoilt; ``hostile`` ones are filled from a stock of texts, numbers and bytes that break things, or are no message.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

KINDS: Final = ("valid", "near", "hostile")
DEPTH: Final = 5
HOSTILE_TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "../../etc/passwd",
    "..%2f..%2fetc",
    "/etc/passwd",
    "C:\\windows",
    "a/b/c/d",
    "w; DROP SCHEMA world CASCADE; --",
    "' OR 1=1 --",
    "$JS.API.STREAM.DELETE.orders",
    "*",
    ">",
    "orders.*.mark",
    "%s%s%n",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "\u202egnp.exe",
    "\U0001f4a9" * 20,
    "e\u0301" * 100,
    "\uff41\uff44\uff4d\uff49\uff4e",  # "admin" in full width
    "A" * 70_000,
    "\n\r\t",
    "NaN",
    "-1",
    "9" * 400,
    "blake3:" + "zz" * 32,
    "blake3:" + "00" * 33,
    "0001-01-01T00:00:00Z",
    "99999-12-31T23:59:59Z",
)
# YAML aliases that grow without bound, CEL that is deep or long, documents that are nested too far.
BOMBS: Final = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'},*{'a' if n == 0 else f'b{n - 1}'}]\n" for n in range(30)
    ),
    'gates: [{name: g, rule: "' + "(" * 2_000 + "1.0" + ")" * 2_000 + ' > 0.0"}]\n',
    'gates: [{name: g, rule: "[1,2,3].map(x, [1,2,3].map(y, [1,2,3].map(z, x*y*z))).size() > 0"}]\n',
    "gates: " + "[" * 5_000 + "]" * 5_000,
    "{" * 10_000,
    "!!python/object/apply:os.system ['true']",
    "gates: [{name: g, rule: \"'a'.matches('(a+)+$') \"}]\n",
)
# An Arrow stream that declares more than it carries: a schema message whose length is 2 GiB, a body of nothing.
ARROW_BOMBS: Final = (
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\x00\x00\x00\x00",
    b"ARROW1\0\0" + b"\xff" * 64,
    b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\x00" * 16,
)
INTEGERS: Final = (0, 1, -1, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63), 2**32, 255)
DOUBLES: Final = (0.0, -0.0, 1.0, -1.0, 1.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
_UNSIGNED: Final = {
    FieldDescriptor.TYPE_UINT32: 2**32,
    FieldDescriptor.TYPE_UINT64: 2**64,
    FieldDescriptor.TYPE_FIXED32: 2**32,
    FieldDescriptor.TYPE_FIXED64: 2**64,
}
_NARROW: Final = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32)


@dataclass(frozen=True, slots=True)
class Known:
    """Hold what valid requests name, by the names of fields; what is not among them gets an ordinary text."""

    texts: Mapping[str, str]


def fuzzed(method: Any, kind: str, chance: random.Random, known: Known) -> bytes:
    """Return the bytes of a request of a method."""
    if kind == "hostile" and chance.random() < 0.2:
        return chance.randbytes(chance.randrange(200))
    request: Message = GetMessageClass(method.input_type)()
    fill = _Filling(chance, known, hostile=kind == "hostile")
    fill.message(request, DEPTH)
    if kind == "near":
        _Filling(chance, known, hostile=True).one_field(request)
    content: bytes = request.SerializeToString()
    if kind == "hostile" and chance.random() < 0.1:  # a field that nobody knows, and half a one
        content += b"\xfa\xff\xff\xff\x0f\x03abc" + content[: chance.randrange(len(content) + 1)]
    return content


@dataclass(frozen=True, slots=True)
class _Filling:
    chance: random.Random
    known: Known
    hostile: bool

    def message(self, message: Any, depth: int) -> None:
        """Fill a message's fields, of a oneof one."""
        for field in message.DESCRIPTOR.fields:
            if field.containing_oneof is not None and self.chance.choice(field.containing_oneof.fields) != field:
                continue
            if self.chance.random() < (0.5 if self.hostile else 0.9):
                self.field(message, field, depth)

    def one_field(self, message: Any) -> None:
        """Fill one field of a message, however deep it lies."""
        fields = list(message.DESCRIPTOR.fields)
        if not fields:
            return
        field = self.chance.choice(fields)
        inner = getattr(message, field.name)
        if isinstance(inner, Message) and self.chance.random() < 0.7:
            self.one_field(inner)
            return
        message.ClearField(field.name)
        self.field(message, field, DEPTH)

    def field(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        """Fill one field, a repeated one several times."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return
        if not field.is_repeated:
            self._single(message, field, depth)
            return
        many = self.chance.choice((0, 1, 2, 50)) if self.hostile else 1
        values = getattr(message, field.name)
        for _ in range(many):
            if field.message_type is not None:
                if depth:
                    self.message(values.add(), depth - 1)
            else:
                values.append(self._value(field))

    def _single(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is None:
            setattr(message, field.name, self._value(field))
        elif depth:
            inner = getattr(message, field.name)
            inner.SetInParent()
            self.message(inner, depth - 1)

    def _value(self, field: FieldDescriptor) -> Any:
        makers: Mapping[int, Callable[[FieldDescriptor], Any]] = {
            FieldDescriptor.CPPTYPE_STRING: self._text,
            FieldDescriptor.CPPTYPE_BOOL: lambda _: self.chance.random() < 0.5,
            FieldDescriptor.CPPTYPE_ENUM: self._enum,
            FieldDescriptor.CPPTYPE_DOUBLE: lambda _: self._double(),
            FieldDescriptor.CPPTYPE_FLOAT: lambda _: self._double(),
        }
        return makers.get(field.cpp_type, self._integer)(field)

    def _text(self, field: FieldDescriptor) -> str | bytes:
        if field.type == FieldDescriptor.TYPE_BYTES:
            bombs = (*ARROW_BOMBS, *(each.encode() for each in BOMBS))
            return self.chance.choice(bombs) if self.hostile else self.chance.randbytes(30)
        if self.hostile:
            return self.chance.choice((*HOSTILE_TEXTS, *BOMBS))
        return self.known.texts.get(field.name, "abc")

    def _enum(self, field: FieldDescriptor) -> int:
        assert field.enum_type is not None
        numbers = [each.number for each in field.enum_type.values]
        return self.chance.choice([*numbers, 99, -1, 2**31 - 1] if self.hostile else numbers)

    def _double(self) -> float:
        return self.chance.choice(DOUBLES) if self.hostile else self.chance.random()

    def _integer(self, field: FieldDescriptor) -> int:
        number = self.chance.choice(INTEGERS) if self.hostile else self.chance.randrange(3)
        if field.type in _UNSIGNED:
            return number % _UNSIGNED[field.type]
        if field.type in _NARROW:
            return max(-(2**31), min(2**31 - 1, number))
        return number
