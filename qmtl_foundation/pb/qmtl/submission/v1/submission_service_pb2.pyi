from qmtl_foundation.pb.qmtl.common.v1 import access_pb2 as _access_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2 as _execution_pb2
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2 as _submission_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_pb2 as _world_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitRequest(_message.Message):
    __slots__ = ("request_id", "world", "author", "name", "dag", "params", "mode", "data_preset", "as_of", "dataset_fingerprint")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORLD_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DAG_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    DATA_PRESET_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATASET_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    world: str
    author: str
    name: str
    dag: bytes
    params: bytes
    mode: str
    data_preset: str
    as_of: str
    dataset_fingerprint: str
    def __init__(self, request_id: _Optional[str] = ..., world: _Optional[str] = ..., author: _Optional[str] = ..., name: _Optional[str] = ..., dag: _Optional[bytes] = ..., params: _Optional[bytes] = ..., mode: _Optional[str] = ..., data_preset: _Optional[str] = ..., as_of: _Optional[str] = ..., dataset_fingerprint: _Optional[str] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("submission",)
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    submission: _submission_pb2.Submission
    def __init__(self, submission: _Optional[_Union[_submission_pb2.Submission, _Mapping]] = ...) -> None: ...

class GetSubmissionRequest(_message.Message):
    __slots__ = ("submission_id",)
    SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
    submission_id: str
    def __init__(self, submission_id: _Optional[str] = ...) -> None: ...

class GetSubmissionResponse(_message.Message):
    __slots__ = ("submission",)
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    submission: _submission_pb2.Submission
    def __init__(self, submission: _Optional[_Union[_submission_pb2.Submission, _Mapping]] = ...) -> None: ...

class WatchSubmissionRequest(_message.Message):
    __slots__ = ("submission_id",)
    SUBMISSION_ID_FIELD_NUMBER: _ClassVar[int]
    submission_id: str
    def __init__(self, submission_id: _Optional[str] = ...) -> None: ...

class WatchSubmissionResponse(_message.Message):
    __slots__ = ("submission",)
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    submission: _submission_pb2.Submission
    def __init__(self, submission: _Optional[_Union[_submission_pb2.Submission, _Mapping]] = ...) -> None: ...

class ResolveContextRequest(_message.Message):
    __slots__ = ("world", "strategy_id", "mode", "as_of", "dataset_fingerprint", "strategy_version")
    WORLD_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATASET_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_VERSION_FIELD_NUMBER: _ClassVar[int]
    world: str
    strategy_id: str
    mode: str
    as_of: str
    dataset_fingerprint: str
    strategy_version: str
    def __init__(self, world: _Optional[str] = ..., strategy_id: _Optional[str] = ..., mode: _Optional[str] = ..., as_of: _Optional[str] = ..., dataset_fingerprint: _Optional[str] = ..., strategy_version: _Optional[str] = ...) -> None: ...

class ResolveContextResponse(_message.Message):
    __slots__ = ("context", "decision")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    context: _execution_pb2.ComputeContext
    decision: _world_pb2.Decision
    def __init__(self, context: _Optional[_Union[_execution_pb2.ComputeContext, _Mapping]] = ..., decision: _Optional[_Union[_world_pb2.Decision, _Mapping]] = ...) -> None: ...
