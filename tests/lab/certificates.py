# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that nobody knows, and a server's certificate signed by it."""

from __future__ import annotations

from pathlib import Path

from tests.lab.processes import run

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_certificates(directory: Path) -> None:
    """Write ``ca.pem``, and ``server.pem`` with ``server-key.pem`` for 127.0.0.1.

    :raises LabError: openssl failed; what it says follows.
    """
    ca, ca_key = directory / "ca.pem", directory / "ca-key.pem"
    _request("/CN=mthook lab", ca, ca_key, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _request(
        *("/CN=127.0.0.1", directory / "server.pem", directory / "server-key.pem"),
        *("-CA", str(ca), "-CAkey", str(ca_key)),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
    )


def _request(subject: str, certificate: Path, key: Path, *options: str) -> None:
    files = ["-out", str(certificate), "-keyout", str(key)]
    run(["openssl", "req", "-x509", "-days", "2", *_NEW_KEY, "-subj", subject, *files, *options])
