"""The Kubernetes API, as the pod's service account may use it."""

import json
import os
import ssl
import urllib.parse
from pathlib import Path

import web
from errors import Code, StepError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONFLICT = 409


class Conflict(Exception):
    """Somebody else changed or made the object first."""


class Cluster:
    """Objects by their path in the API. Absent objects are None; refusals are errors by name."""

    def __init__(self, address: str | None = None, account: Path = ACCOUNT, patience: float = 30):
        host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        self.address = address or f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self.account = account
        self.patience = patience
        self._context: ssl.SSLContext | None = None

    def get(self, path: str) -> dict | None:
        return self._call("GET", path)

    def list(self, path: str, **query: str) -> list[dict]:
        """All objects, page by page; `query` as in the API, for example labelSelector."""
        found: list[dict] = []
        query = {"limit": "500", **query}
        while True:
            page = self._call("GET", f"{path}?{urllib.parse.urlencode(query)}") or {}
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    def create(self, path: str, body: dict) -> dict:
        """Raises Conflict when an object of that name is there."""
        return self._call("POST", path, body, "application/json") or {}

    def merge_patch(self, path: str, body: dict) -> dict:
        """Raises Conflict when the body's resourceVersion is not the present one."""
        patched = self._call("PATCH", path, body, "application/merge-patch+json")
        if patched is None:
            raise StepError(Code.ClusterUnavailable, f"{path} is not there")
        return patched

    def _call(self, method: str, path: str, body: dict | None = None, content_type: str = "") -> dict | None:
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token()}"}
        if body is not None:
            headers["Content-Type"] = content_type
        answer = web.call(
            method,
            self.address + path,
            Code.ClusterUnavailable,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            patience=self.patience,
            context=self._tls(),
        )
        if answer.status < 300:
            return answer.json()
        if answer.status == 404 and method == "GET":
            return None
        if answer.status == CONFLICT:
            raise Conflict(answer.json().get("message", ""))
        message = answer.json().get("message") or answer.text()
        code = Code.AccessDenied if answer.status in (401, 403) else Code.ClusterUnavailable
        raise StepError(code, f"{method} {path.partition('?')[0]}: {answer.status} {message}")

    def _token(self) -> str:
        # Read each time: the kubelet replaces it.
        try:
            return (self.account / "token").read_text().strip()
        except OSError as error:
            raise StepError(Code.AccessDenied, f"no service account token: {error}") from error

    def _tls(self) -> ssl.SSLContext | None:
        if not self.address.startswith("https:"):
            return None
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        return self._context


def lookup(found: object, *path: str | int) -> object:
    """A field deep in an object, None when any part of the way is missing."""
    for key in path:
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and isinstance(key, int) and -len(found) <= key < len(found):
            found = found[key]
        else:
            return None
    return found
