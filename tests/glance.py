# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Keystone and Glance on a real HTTP server, for what the libraries send."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What logs in.
USER, PASSWORD = "mthook", "sesame"
_PATCH = "application/openstack-images-v2.1-json-patch"


class Glance:
    """Both services.

    :ivar images: by ID, as they are by now.
    :ivar patches: what was sent to change them, by ID.
    :ivar refusal: what a change is answered with; None: it is done.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.images: dict[str, dict[str, Any]] = {}
        self.patches: list[tuple[str, list[dict[str, Any]]]] = []
        self.refusal: int | None = None

    def options(self, password: str = PASSWORD, **more: str) -> str:
        """Return the group of a configuration file that leads here."""
        options = {
            "auth_type": "password",
            "auth_url": f"{self.url}/identity/v3",
            "username": USER,
            "password": password,
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "region_name": "RegionOne",
            **more,
        }
        return "".join(["[glance]\n", *(f"{key} = {value}\n" for key, value in options.items())])

    def answer(self, method: str, path: str, kind: str, body: bytes) -> tuple[int, Any]:
        """Answer a request; a token is added to one that logs in."""
        parts = path.strip("/").split("/")
        if parts[0] == "identity":
            return (
                self._log_in(body) if method == "POST" else (200, {"version": self._version("v3")})
            )
        if parts[:3] != ["image", "v2", "images"]:
            return 300, {"versions": [{**self._version("v2"), "status": "CURRENT"}]}
        image = self.images.get(parts[3])
        if image is None:
            return 404, {"message": f"No image found with ID {parts[3]}"}
        if method == "PATCH":
            if self.refusal is not None:
                return self.refusal, {"message": "You are not permitted"}
            assert kind == _PATCH
            self.patches.append((parts[3], json.loads(body)))
            image.update({one["path"][1:]: one["value"] for one in self.patches[-1][1]})
        return 200, image

    def _version(self, name: str) -> dict[str, Any]:
        service = "identity" if name == "v3" else "image"
        links = [{"rel": "self", "href": f"{self.url}/{service}/{name}/"}]
        return {"id": f"{name}.14", "status": "stable", "links": links}

    def _log_in(self, body: bytes) -> tuple[int, Any]:
        password = json.loads(body)["auth"]["identity"]["password"]["user"]["password"]
        if password != PASSWORD:
            return 401, {"error": {"code": 401, "message": "The request needs authentication."}}
        default = {"id": "default", "name": "Default"}
        endpoint = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne"}
        image = {**endpoint, "id": "e", "url": f"{self.url}/image"}
        token = {
            "methods": ["password"],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": USER, "domain": default},
            "project": {"id": "p", "name": "service", "domain": default},
            "roles": [{"id": "r", "name": "admin"}],
            "catalog": [{"type": "image", "id": "i", "name": "glance", "endpoints": [image]}],
        }
        return 201, {"token": token}


@contextmanager
def served() -> Iterator[Glance]:
    """Serve both for a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type") or ""
            code, found = glance.answer(self.command, self.path, kind, body)
            text = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("X-Subject-Token", "token")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        glance = Glance(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield glance
        server.shutdown()
        thread.join()
