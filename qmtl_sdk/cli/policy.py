"""``qmtl world policy``: check, upload, list and activate policy versions."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmtl_sdk.cli.session import CALL_SECONDS, Reason, Session, World, command

if TYPE_CHECKING:
    from qmtl_sdk._pb.qmtl.world.v1 import ListPoliciesResponse, Policy
    from qmtl_sdk.client.gateway import Gateway

INT32_MAX: Final = 2**31 - 1

app = typer.Typer(help="Check, upload, list and activate policy versions.", rich_markup_mode=None)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The policy, YAML.")]


@app.command("upload")
@command
def upload(
    session: Session,
    world: World,
    file: File,
    activate: Annotated[bool, typer.Option("--activate", help="Put it in force at once.")] = False,
    reason: Reason = "",
) -> None:
    """Check a policy and store it as the world's next version."""
    document = _uploaded(session, world, read(file), reason, activate=activate)
    stands = "in force" if document["active"] else f"stored; `qmtl world policy activate {world} {document['version']}`"
    session.answer(document, f"version {document['version']} of {world} is {stands}")


@app.command("check")
@command
def check(session: Session, world: World, file: File) -> None:
    """Check a policy as the world would, and store nothing."""
    _uploaded(session, world, read(file), "", validate_only=True)
    session.answer({"world": world, "file": str(file), "valid": True}, f"{file} is a valid policy")


@app.command("list")
@command
def list_versions(session: Session, world: World) -> None:
    """List a world's policy versions, newest first."""
    from qmtl_sdk.cli.documents import policy_document
    from qmtl_sdk.cli.tables import rows

    found = [policy_document(policy) for policy in session.ask(lambda gateway: _versions(gateway, world))]
    columns = {"version": "version", "active": "active", "uploaded": "create_time", "content": "content_id"}
    session.answer({"policies": found}, rows(found, columns, f"no policy yet: `qmtl world policy upload {world} FILE`"))


@app.command("activate")
@command
def activate(
    session: Session,
    world: World,
    version: Annotated[int, typer.Argument(min=1, max=INT32_MAX, help="Version, from 1.")],
    reason: Reason = "",
) -> None:
    """Put a policy version in force."""
    from qmtl_sdk._pb.qmtl.world.v1 import ActivatePolicyRequest, Policy
    from qmtl_sdk.cli.documents import policy_document
    from qmtl_sdk.client.gateway import new_request_id

    request = ActivatePolicyRequest(request_id=new_request_id(), world=world, version=version, reason=reason)
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.worlds.activate_policy(request, timeout=CALL_SECONDS))
    )
    session.answer(policy_document(answer.policy or Policy()), f"version {version} of {world} is in force")


def read(file: Path) -> str:
    """Return the text of a policy file. Raises QmtlError INVALID_FIELD where it cannot be read."""
    from qmtl_foundation.errors import invalid_field

    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise invalid_field("policy", f"{file} cannot be read ({error.strerror}); name a YAML file") from error
    except UnicodeDecodeError as error:
        raise invalid_field("policy", f"{file} is not UTF-8 text; save it as such") from error


def _uploaded(
    session: Session, world: str, text: str, reason: str, *, activate: bool = False, validate_only: bool = False
) -> dict[str, Any]:
    from qmtl_sdk._pb.qmtl.world.v1 import Policy, UploadPolicyRequest
    from qmtl_sdk.cli.documents import policy_document
    from qmtl_sdk.client.gateway import new_request_id

    request = UploadPolicyRequest(
        request_id=new_request_id(),
        world=world,
        yaml=text,
        validate_only=validate_only,
        activate=activate,
        reason=reason,
    )
    answer = session.ask(
        lambda gateway: gateway.call(lambda: gateway.worlds.upload_policy(request, timeout=CALL_SECONDS))
    )
    return policy_document(answer.policy or Policy())


async def _versions(gateway: Gateway, world: str) -> list[Policy]:
    from qmtl_sdk._pb.qmtl.world.v1 import ListPoliciesRequest
    from qmtl_sdk.client.paging import PAGE, all_pages

    def send(token: str) -> Awaitable[ListPoliciesResponse]:
        request = ListPoliciesRequest(world=world, page_size=PAGE, page_token=token)
        return gateway.worlds.list_policies(request, timeout=CALL_SECONDS)

    return [policy for page in await all_pages(gateway, send) for policy in page.policies]
