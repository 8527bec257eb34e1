"""``qmtl certs``: certificates for trying TLS out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qmtl_sdk.cli.session import Session, command

app = typer.Typer(help="Make certificates for trying TLS out.", rich_markup_mode=None)


@app.command("dev")
@command
def dev(
    session: Session,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made when it is missing.")],
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A name or address beside the loopback that they are good for.")
    ] = None,
) -> None:
    """Make a certificate authority and a pair for each service; run again, renew the pairs under the same authority.

    For development: the authority's key lies beside what it signed.
    """
    from qmtl_foundation.errors import invalid_field
    from qmtl_sdk.extras import check_server_installed
    from qmtl_sdk.local.certificates import AUTHORITY, NAMES, PAIR_DAYS, make_certificates, pair_of

    check_server_installed()
    try:
        made = make_certificates(directory, NAMES, host or ())
    except OSError as error:
        raise invalid_field("directory", f"{directory} cannot be used ({error.strerror}); choose another") from error
    authority = pair_of(directory, AUTHORITY).certificate
    pairs = [{"certificate": str(each.certificate), "key": str(each.key)} for each in made]
    lines = [f"for {PAIR_DAYS} days, signed by {authority}:", *(f"  {each['certificate']}" for each in pairs)]
    lines.append(
        f"a service takes QMTL_TLS_CERTIFICATE, QMTL_TLS_KEY and QMTL_TLS_CA={authority}; a client QMTL_TLS_CA alone"
    )
    session.answer({"ca": str(authority), "pairs": pairs}, "\n".join(lines))
