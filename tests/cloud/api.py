# SPDX-License-Identifier: Apache-2.0
"""A few calls of OpenStack's APIs."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from typing import Any, Optional

from tests.cloud.configuration import GLANCE, KEYSTONE, NOVA, PASSWORD
from tests.lab.requirements import LabError

_SECONDS = 120
_ADMIN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
            },
        },
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }
}


class ApiError(LabError):
    """A service said no; :attr:`status` is what HTTP calls it."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """The administrator's session."""

    def __init__(self) -> None:
        self._token: Optional[str] = None
        self._lock = threading.Lock()

    def keystone(self, method: str, path: str, body: Any = None) -> Any:
        """Call the identity service."""
        return self._call(method, KEYSTONE + path, body)

    def glance(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call the image service."""
        return self._call(method, GLANCE + "/v2" + path, body, **headers)

    def nova(self, method: str, path: str, body: Any = None, version: str = "2.93") -> Any:
        """Call the compute service."""
        asked = {"OpenStack-API-Version": f"compute {version}"}
        return self._call(method, NOVA + path, body, **asked)

    def upload(self, name: str, content: bytes, **properties: str) -> str:
        """Make an image and return its id."""
        about = {"name": name, "disk_format": "raw", "container_format": "bare"}
        image: str = self.glance("POST", "/images", {**about, **properties})["id"]
        octets = {"Content-Type": "application/octet-stream"}
        self.glance("PUT", f"/images/{image}/file", content, **octets)
        return image

    def _call(self, method: str, url: str, body: Any, **headers: str) -> Any:
        answer = _request(method, url, body, {"X-Auth-Token": self._authenticate(), **headers})
        content = answer.read()
        return json.loads(content) if content else None

    def _authenticate(self) -> str:
        with self._lock:
            if self._token is None:
                answer = _request("POST", f"{KEYSTONE}/auth/tokens", _ADMIN, {})
                self._token = answer.headers["X-Subject-Token"]
            return self._token


def _request(method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json", **headers}, method=method
    )
    try:
        # No proxy is asked: the network is the cloud's own.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:400]
        raise ApiError(f"{method} {url}: {error.code} {said}", error.code) from None
