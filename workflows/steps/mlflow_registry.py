"""MLflow's model registry over REST: which version an alias names, and the model file of a version."""

import base64
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path, PurePosixPath

import web
from errors import Code, StepError

# A model of this pipeline has some hundred kilobytes to some hundred megabytes.
LARGEST_MODEL = 2 * 2**30
ARTIFACT_API = "/api/2.0/mlflow-artifacts/artifacts"


class ModelRegistry:
    """Aliases and versions of one registered model."""

    def __init__(self, address: str, model: str, username: str, password: str, patience: float = 30):
        self.address = address.rstrip("/")
        self.model = model
        self.patience = patience
        login = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.headers = (
            {"Authorization": f"Basic {login}", "Content-Type": "application/json"} if username else {}
        )

    def aliases(self) -> dict[str, str]:
        """Alias -> version number; empty when the model is not registered yet."""
        answer = self._call("GET", "registered-models/get", {"name": self.model})
        if answer is None:
            return {}
        found = answer.get("registered_model", {}).get("aliases", [])
        return {entry["alias"]: str(entry["version"]) for entry in found}

    def set_aliases(self, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
        """Brings aliases to what is wanted, None means absent; returns what had to change. Safe to repeat."""
        known = self.aliases()
        changed = {alias: version for alias, version in wanted.items() if known.get(alias) != version}
        for alias, version in changed.items():
            if version is None:
                self._call("DELETE", "registered-models/alias", {"name": self.model, "alias": alias})
            elif (
                self._call(
                    "POST",
                    "registered-models/alias",
                    {"name": self.model, "alias": alias, "version": version},
                )
                is None
            ):
                raise StepError(Code.MissingModelVersion, f"{self.model} has no version {version}")
        return changed

    def check_version(self, version: str) -> None:
        """Raises MissingModelVersion when there is no usable version of that number."""
        answer = self._call("GET", "model-versions/get", {"name": self.model, "version": version})
        if answer is None:
            raise StepError(Code.MissingModelVersion, f"{self.model} has no version {version}")
        status = answer.get("model_version", {}).get("status", "READY")
        if status != "READY":
            raise StepError(Code.MissingModelVersion, f"version {version} of {self.model} is {status}")

    def download(self, version: str, target: Path) -> None:
        """Writes the one ONNX file of a version to `target`."""
        self.check_version(version)
        answer = self._call(
            "GET", "model-versions/get-download-uri", {"name": self.model, "version": version}
        )
        folder = self._artifact_folder((answer or {}).get("artifact_uri", ""))
        found = self._files(folder, ".onnx")
        if len(found) != 1:
            raise StepError(
                Code.MissingModelVersion,
                f"version {version} of {self.model} has {len(found)} .onnx files, expected one",
            )
        self._fetch(found[0], target)

    def _artifact_folder(self, uri: str) -> str:
        parts = urllib.parse.urlparse(uri)
        if parts.scheme != "mlflow-artifacts":
            raise StepError(
                Code.MissingModelVersion, f"artifacts are at {uri!r}, not behind the tracking server"
            )
        return parts.path.strip("/")

    def _files(self, folder: str, suffix: str, depth: int = 4) -> list[str]:
        answer = self._artifacts(f"{ARTIFACT_API}?{urllib.parse.urlencode({'path': folder})}")
        found: list[str] = []
        for entry in answer.json().get("files", []):
            path = f"{folder}/{entry['path']}"
            # A name is data of whoever logged the model: it never leads out of its folder.
            if ".." in PurePosixPath(entry["path"]).parts:
                continue
            if entry.get("is_dir") and depth > 0:
                found += self._files(path, suffix, depth - 1)
            elif path.endswith(suffix):
                found.append(path)
        return found

    def _fetch(self, path: str, target: Path) -> None:
        """
        In pieces, as a model may be larger than the memory of this pod. Begins anew when the connection
        breaks.
        """
        url = f"{self.address}{ARTIFACT_API}/{urllib.parse.quote(path)}"
        deadline = time.monotonic() + self.patience
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                self._stream(url, target)
                return
            except (OSError, HTTPException) as error:
                if isinstance(error, OSError) and error.errno == 28:
                    raise StepError(Code.DiskFull, f"no room for the model file {target.name}") from error
                if time.monotonic() > deadline:
                    problem = f"{PurePosixPath(path).name}: {web.describe(error)}"
                    raise StepError(Code.ObjectStoreUnavailable, problem) from error
                time.sleep(1)

    def _stream(self, url: str, target: Path) -> None:
        request = urllib.request.Request(url, headers=self.headers)
        size = 0
        with urllib.request.urlopen(request, timeout=30) as answer, target.open("wb") as file:
            while piece := answer.read(2**20):
                size += len(piece)
                if size > LARGEST_MODEL:
                    raise StepError(
                        Code.MissingModelVersion, f"the model is larger than {LARGEST_MODEL} bytes"
                    )
                file.write(piece)
            expected = answer.headers.get("Content-Length")
        if expected is not None and int(expected) != size:
            raise HTTPException(f"{size} of {expected} bytes arrived")

    def _artifacts(self, path: str) -> web.Answer:
        answer = web.call(
            "GET",
            self.address + path,
            Code.ObjectStoreUnavailable,
            headers=self.headers,
            patience=self.patience,
        )
        if answer.status >= 300:
            code = Code.AccessDenied if answer.status in (401, 403) else Code.ObjectStoreUnavailable
            raise StepError(code, f"the artifacts answered {answer.status} {answer.text()[:200]}")
        return answer

    def _call(self, method: str, path: str, values: dict[str, str]) -> dict | None:
        """The answer, None when what is asked for does not exist."""
        url = f"{self.address}/api/2.0/mlflow/{path}"
        body = None
        if method == "GET":
            url += f"?{urllib.parse.urlencode(values)}"
        else:
            body = json.dumps(values).encode()
        answer = web.call(
            method, url, Code.MLflowUnavailable, body=body, headers=self.headers, patience=self.patience
        )
        if answer.status < 300:
            return answer.json()
        problem = answer.json()
        if answer.status == 404 or problem.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return None
        code = Code.AccessDenied if answer.status in (401, 403) else Code.MLflowUnavailable
        raise StepError(
            code, f"{path} answered {answer.status} {problem.get('message', answer.text())[:300]}"
        )
