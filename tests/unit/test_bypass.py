# SPDX-License-Identifier: Apache-2.0
"""What leads clients past a gate that doesn't start reads the configuration in shell, and as the programs do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from mthook import conf as configuration

UNIT = Path(__file__).parents[2] / "etc" / "systemd" / "mthook-gate-bypass.service"
DENY = "[hook]\nmode = enforce\non_error = deny\n"
ALLOW = "[hook]\non_error = allow\n"


def script() -> str:
    """Return the script as systemd hands it to the shell; see systemd.syntax(7) and systemd.service(5)."""
    unit = UNIT.read_text().replace("\\\n", " ")
    quoted = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    assert quoted is not None
    assert set(re.findall(r"\\(.)", quoted[1])) <= {"\\", "'"}
    return re.sub(r"\\(.)", r"\1", quoted[1]).replace("$$", "$")


@pytest.mark.parametrize(
    ("texts", "denies"),
    [
        ([DENY], True),
        (["[hook]\nmode=enforce\non_error=deny"], True),
        (["[hook]\nmode: enforce\non_error\t:\tdeny \n"], True),
        (["[hook]\r\nmode = enforce\r\non_error = deny\r\n"], True),
        (["[hook]\nmode = 'enforce'\non_error = \"deny\"\n"], True),
        (["[hook]\nmode = enforce\n[pin]\n[hook] \non_error = deny\n"], True),
        (["[hook]\n# mode = off\nmode = enforce\n\n; why\non_error = deny\n"], True),
        ([""], False),
        (["[hook]\non_error = deny\n"], False),
        (["[hook]\nmode = audit\non_error = deny\n"], False),
        (["[hook]\nmode = enforce\n#on_error = deny\n;on_error = deny\n"], False),
        (["[hook]\nmode = enforce\nsocket = /run/sock\n on_error = deny\n"], False),
        (["[hook]\nmode = enforce\n[api]\non_error = deny\n"], False),
        (["[api]\nmode = enforce\non_error = deny\n"], False),
        ([f"{DENY}on_error = allow\n"], False),
        ([f"{ALLOW}{DENY}"], True),
        ([DENY, ALLOW], False),
        ([ALLOW, DENY], True),
        ([DENY, "[hook]\nmode = audit\n"], False),
        (["[hook]\nmode = enforce", "[hook]\non_error = deny"], True),
        ([None, DENY], True),
        ([DENY, None], True),
    ],
)
def test_the_shell_reads_the_configuration_as_the_programs_do(
    tmp_path: Path, texts: list[str | None], denies: bool
) -> None:
    """Also files whose names have blanks and stars, and some that aren't there."""
    files = [tmp_path / f"of * {number}.conf" for number in range(len(texts))]
    for file, text in zip(files, texts):
        if text is not None:
            file.write_bytes(text.encode())
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho failed\n")
    systemctl.chmod(0o755)
    listen, upstream = tmp_path / "gate", tmp_path / "libvirt-sock"
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CONFIG": ":".join(map(str, files)),
        "LISTEN": str(listen),
        "UPSTREAM": str(upstream),
    }

    done = subprocess.run(
        ["/bin/sh", "-c", script()], env=environment, capture_output=True, text=True, check=True
    )

    conf = configuration.load([str(file) for file in files if file.exists()])
    assert (conf.hook.mode == "enforce" and conf.hook.on_error == "deny") == denies
    assert listen.is_symlink() != denies
    assert ("on_error = deny: its clients reach nothing" in done.stdout) == denies
    assert done.stderr == ""
