"""From where the settings of a service that is looked at are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.local.service_check import stated_environment


def test_a_file_stands_in_place_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMTL_KEEP_DAYS", "3")
    file = tmp_path / "gateway.env"
    file.write_text("# settings\n\nQMTL_LISTEN=127.0.0.1:1\n  QMTL_NATS_URL=nats://a=b@c \nHTTPS_PROXY=\n")
    assert stated_environment(file) == {
        "QMTL_LISTEN": "127.0.0.1:1",
        "QMTL_NATS_URL": "nats://a=b@c",
        "HTTPS_PROXY": "",
    }


def test_without_a_file_the_shell_s_variables_are_taken_but_the_command_line_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("QMTL_KEEP_DAYS", "QMTL_TOKEN_FILE", "QMTL_GATEWAY", "QMTL_TOKEN", "QMTL_STATE_DIR", "QMTL_AUTHOR"):
        monkeypatch.setenv(name, "x")
    stated = stated_environment(None)
    assert {"QMTL_KEEP_DAYS", "QMTL_TOKEN_FILE"} <= set(stated)
    assert not {"QMTL_GATEWAY", "QMTL_TOKEN", "QMTL_STATE_DIR", "QMTL_AUTHOR", "PATH"} & set(stated)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A=1\nexport B=2", "line 2: is not NAME=VALUE"),
        ("hidden", "line 1: is not NAME=VALUE"),
        ("A='hidden'", "without quotes"),
        ('A="hidden"', "without quotes"),
    ],
)
def test_a_line_that_is_read_differently_elsewhere_is_refused(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text(text)
    with pytest.raises(QmtlError, match=told) as refused:
        stated_environment(file)
    assert "hidden" not in refused.value.message


def test_a_file_that_is_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(QmtlError, match=r"none\.env cannot be read"):
        stated_environment(tmp_path / "none.env")
