"""Each method of the contract states who may call it, by fields that its request really has."""

from __future__ import annotations

from typing import Any, Final

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from qmtl_foundation.auth.caller import OF_A_WORLD, Role
from qmtl_foundation.pb.qmtl.common.v1 import access_pb2
from qmtl_foundation.rpc.access import access_of
from tests.support.contract import METHODS

OF_NO_WORLD: Final = {"RegisterSnapshot"}  # data is everyone's
LOOKED_UP: Final = {"GetSubmission", "WatchSubmission"}  # their request names a submission, which has a world
each_method: Final = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)


@each_method
def test_a_method_states_a_role(method: Any) -> None:
    assert access_of(method).role is not Role.UNSPECIFIED


@each_method
def test_a_role_of_a_world_is_needed_in_one_that_the_request_names(method: Any) -> None:
    access = access_of(method)
    named = access.role in OF_A_WORLD.values() and method.name not in LOOKED_UP | OF_NO_WORLD
    assert bool(access.world) == named


@each_method
def test_fields_that_are_named_are_texts_of_the_request(method: Any) -> None:
    access = access_of(method)
    for path in filter(None, (access.world, access.strategy)):
        message = method.input_type
        *outer, last = path.split(".")
        for name in outer:
            message = message.fields_by_name[name].message_type
        assert message.fields_by_name[last].type == descriptor_pb2.FieldDescriptorProto.TYPE_STRING


@each_method
def test_only_what_authors_do_names_a_strategy_of_theirs(method: Any) -> None:
    access = access_of(method)
    assert bool(access.strategy) == (access.role is Role.AUTHOR and method.name not in OF_NO_WORLD)


def test_a_method_that_states_nothing_is_for_nobody() -> None:
    access = access_of(_method(descriptor_pb2.MethodOptions()))
    assert (access.role, access.is_public) == (Role.UNSPECIFIED, False)


@pytest.mark.parametrize(("role", "is_public"), [("ROLE_SERVICE", False), ("ROLE_CALLER", True), ("ROLE_ADMIN", True)])
def test_services_methods_are_no_clients(role: str, is_public: bool) -> None:
    options = descriptor_pb2.MethodOptions()
    extensions: Any = options.Extensions
    extensions[access_pb2.access].role = access_pb2.Role.Value(role)
    assert access_of(_method(options)).is_public is is_public


def _method(options: descriptor_pb2.MethodOptions) -> Any:
    """Return the descriptor of a method with options, in a contract of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="some.proto", package="some", syntax="proto3")
    file.message_type.add(name="Asked")
    service = file.service.add(name="Some")
    service.method.add(name="Do", input_type=".some.Asked", output_type=".some.Asked").options.CopyFrom(options)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName("some.Some").methods[0]


def test_roles_are_those_of_the_contract() -> None:
    stated = {name.removeprefix("ROLE_"): number for name, number in access_pb2.Role.items()}
    assert {role.name: int(role) for role in Role} == stated
