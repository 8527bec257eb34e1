"""Activation sets as messages of the contract, and the event that the control stream carries."""

from __future__ import annotations

from qmtl_foundation.pb.qmtl.apply.v1 import activation_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.rpc.modes import to_mode
from qmtl_foundation.rpc.timestamps import to_timestamp
from qmtl_world.apply.model import Activation, ActivationSet


def to_activation(activation: Activation, activation_set: ActivationSet) -> activation_pb2.Activation:
    """Return the message of one strategy's place in a set."""
    return activation_pb2.Activation(
        strategy_id=activation.strategy_id,
        strategy_version=activation.strategy_version,
        active=True,
        weight=activation.weight,
        side=activation.side,
        mode=to_mode(activation.mode),
        dataset_fingerprint=activation.dataset_fingerprint,
        epoch=activation_set.epoch,
        sequence=activation_set.sequence,
        executor=activation.executor,
    )


def to_activation_set(activation_set: ActivationSet) -> activation_pb2.ActivationSet:
    """Return the message of an activation set."""
    return activation_pb2.ActivationSet(
        world=activation_set.world,
        activations=[to_activation(each, activation_set) for each in activation_set.activations],
        epoch=activation_set.epoch,
        sequence=activation_set.sequence,
        state_hash=activation_set.state_hash if activation_set.epoch else "",
        switch_time=to_timestamp(activation_set.switch_time) if activation_set.switch_time else None,
    )


def encode_switch(activation_set: ActivationSet, event_id: str, previous_hash: str, timeline: str) -> bytes:
    """Return the bytes of the event that tells of a switch."""
    message = activation_event_pb2.ActivationEvent(
        event_id=event_id,
        world=activation_set.world,
        sequence=activation_set.sequence,
        epoch=activation_set.epoch,
        kind=activation_event_pb2.ACTIVATION_EVENT_KIND_SWITCH,
        activation_set=to_activation_set(activation_set),
        previous_event_hash=previous_hash,
        timeline_id=timeline,
        create_time=to_timestamp(activation_set.switch_time) if activation_set.switch_time else None,
    )
    return message.SerializeToString(deterministic=True)
