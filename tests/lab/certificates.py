# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that nobody knows, and a server's certificate signed by it."""

from __future__ import annotations

from pathlib import Path

from tests.lab.processes import run

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_OF_SERVER = "basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n"


def make_certificates(directory: Path) -> None:
    """Write ``ca.pem``, and ``server.pem`` with ``server-key.pem`` for 127.0.0.1.

    :raises LabError: openssl failed; what it says follows.
    """
    ca, ca_key = str(directory / "ca.pem"), str(directory / "ca-key.pem")
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _request("/CN=mthook lab", ca, ca_key, "-x509", "-days", "2", *usage)
    # In two steps, for OpenSSL 1.1.1 signs a certificate in one step by its own key alone.
    request, extensions = directory / "server.csr", directory / "server.ext"
    _request("/CN=127.0.0.1", str(request), str(directory / "server-key.pem"))
    extensions.write_text(_OF_SERVER)
    sign = ["-req", "-in", str(request), "-CA", ca, "-CAkey", ca_key, "-set_serial", "1"]
    files = ["-extfile", str(extensions), "-out", str(directory / "server.pem")]
    run(["openssl", "x509", *sign, "-days", "2", *files])


def _request(subject: str, out: str, key: str, *options: str) -> None:
    files = ["-out", out, "-keyout", key]
    run(["openssl", "req", "-new", *_NEW_KEY, "-subj", subject, *files, *options])
