"""Has the workflow controller look again at workflows that wait for nothing.

Argo Workflows looks at a workflow when one of its objects changes, and otherwise every 20 minutes. After a
node was lost the last change may come before the controller can use it: a step's pod has ended and its
results are still awaited, or the pod is gone and the step still runs. The workflow then hangs with all it
holds. A changed annotation is a change as any other, so that is what this writes; what there is to decide,
the controller decides.

A look costs the controller milliseconds and changes nothing about a workflow that is well, so doubt is no
harm; still none gets more than one a minute. Only one workflow is in memory at a time, and only when it has
changed.

Settings: NAMESPACE; KUBERNETES (URL of the API server), INTERVAL, ENDED, MISSING and PAUSE (seconds), which
have defaults. Files: SERVICE_ACCOUNT (folder with token and ca.crt).
"""

import datetime
import http.client
import json
import math
import os
import signal
import ssl
import sys
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

GROUP = "workflows.argoproj.io"
ANNOTATION = "gourmetgram.dev/revisited-at"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
ENDED_PHASES = ("Succeeded", "Failed", "Error")

PAGE = 25
# Far more than ever run at once; beyond that, what is left waits until others have ended.
MOST_PAGES = 40
# More than the API server stores in one object.
MOST_BYTES = 4 * 1024 * 1024
ANSWER_SECONDS = 10
ROUND_SECONDS = 120
LONGEST_WAIT = 120


@dataclass
class Limits:
    """Seconds."""

    ended: float = 30
    """A pod has ended, and its results are awaited."""
    missing: float = 60
    """No running pod for a running step, and no change of the workflow."""
    pause: float = 60
    """Between two looks at one workflow."""


@dataclass
class Seen:
    """What is remembered of a workflow, with times of one monotonic clock."""

    version: str = ""
    changed: float = 0
    ended: dict[str, float] = field(default_factory=dict)
    """Nodes whose pod has ended and whose results are awaited, with the time since when."""
    running: frozenset[str] = frozenset()
    missing: dict[str, float] = field(default_factory=dict)
    """Running nodes without a running pod, with the time since when."""
    revisited: float = -math.inf


def learn(seen: Seen, version: str, nodes: dict, now: float) -> None:
    """Takes in a workflow that has changed."""
    pods = {key: node for key, node in nodes.items() if node.get("type") == "Pod"}
    ended = [
        key
        for key, node in pods.items()
        if node.get("phase") in ENDED_PHASES and node.get("taskResultSynced") is False
    ]
    seen.version = version
    seen.changed = now
    seen.ended = {key: seen.ended.get(key, now) for key in ended}
    seen.running = frozenset(key for key, node in pods.items() if node.get("phase") == "Running")


def compare(seen: Seen, alive: set[str] | None, now: float) -> None:
    """Takes in which nodes have a running pod; None when that is not known."""
    missing = () if alive is None else seen.running - alive
    seen.missing = {key: seen.missing.get(key, now) for key in missing}


def reason(seen: Seen, now: float, limits: Limits) -> str:
    """Why the controller should look again; empty when there is no reason to."""
    if now - seen.revisited < limits.pause:
        return ""
    for key, since in seen.ended.items():
        if now - since >= limits.ended:
            return f"the pod of {key} has ended, its results have been awaited for {now - since:.0f} s"
    for key, since in seen.missing.items():
        if now - max(since, seen.changed) >= limits.missing:
            return f"{key} has run without a pod for {now - since:.0f} s"
    return ""


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class Overdue(Exception):
    """A round that does not end."""


# Whatever the API answers, or not: this goes on, for the pod it is in is the controller's.
FAILURES = (
    Refused,
    OSError,
    http.client.HTTPException,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
)


class Api:
    """The Kubernetes API, as the pod's account may use it."""

    def __init__(self, url: str, account: Path):
        self.url = urllib.parse.urlsplit(url)
        self.account = account
        self.context: ssl.SSLContext | None = None

    def call(self, method: str, path: str, body: dict | None = None, accept: str = "") -> dict:
        connection = self._connect()
        try:
            # Read each time: the kubelet replaces it.
            token = (self.account / "token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
            headers["Accept"] = accept or "application/json"
            if body is not None:
                headers["Content-Type"] = "application/merge-patch+json"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read(MOST_BYTES + 1)
        finally:
            connection.close()
        where = f"{method} {path.partition('?')[0]}"
        if answer.status >= 300:
            text = content[:200].decode(errors="replace")
            raise Refused(answer.status, f"{where}: {answer.status} {text}")
        if len(content) > MOST_BYTES:
            raise ValueError(f"{where}: more than {MOST_BYTES} bytes")
        return json.loads(content)

    def metadata(
        self, path: str, take: Callable[[dict], tuple[str, str]], **query: str
    ) -> tuple[dict[str, str], bool]:
        """What `take` takes of the metadata of each object, page by page, and whether that is all of them."""
        found: dict[str, str] = {}
        query["limit"] = str(PAGE)
        for _ in range(MOST_PAGES):
            page = self.call("GET", f"{path}?{urllib.parse.urlencode(query)}", accept=METADATA_ONLY)
            found.update(take(item["metadata"]) for item in page.get("items") or [])
            query["continue"] = page.get("metadata", {}).get("continue", "")
            if not query["continue"]:
                return found, True
        return found, False

    def _connect(self) -> http.client.HTTPConnection:
        host = self.url.hostname or ""
        if self.url.scheme != "https":
            return http.client.HTTPConnection(host, self.url.port, timeout=ANSWER_SECONDS)
        if self.context is None:
            self.context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        return http.client.HTTPSConnection(host, self.url.port, timeout=ANSWER_SECONDS, context=self.context)


class Round:
    """Looks at all workflows of a namespace that have not ended."""

    def __init__(self, api: Api, namespace: str, limits: Limits):
        self.api = api
        self.workflows = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.limits = limits
        self.seen: dict[str, Seen] = {}

    def run(self) -> bool:
        """Whether all of it went well; what did not is one line in the log each."""
        versions: dict[str, str] = {}
        if not self._attempt(lambda: versions.update(self._versions())):
            return False
        self.seen = {key: self.seen.get(key) or Seen() for key in versions}
        well = True
        for key, version in versions.items():
            if self.seen[key].version != version:
                well = self._attempt(lambda key=key: self._read(key)) and well
        alive: set[str] | None = None
        if any(seen.running for seen in self.seen.values()):
            found: set[str] = set()
            known = self._attempt(lambda: found.update(self._alive()))
            alive = found if known else None
            well = well and known
        for key, seen in self.seen.items():
            now = time.monotonic()
            compare(seen, alive, now)
            why = reason(seen, now, self.limits)
            if why:
                well = self._attempt(lambda key=key, why=why: self._revisit(key, why)) and well
        return well

    def _versions(self) -> dict[str, str]:
        """By name and identity, because a name may be used again."""
        versions, complete = self.api.metadata(
            self.workflows,
            lambda metadata: (f"{metadata['name']}/{metadata['uid']}", metadata["resourceVersion"]),
            labelSelector=f"{GROUP}/completed!=true",
        )
        if not complete:
            log(f"more than {len(versions)} workflows: the others have to wait")
        return versions

    def _alive(self) -> set[str]:
        """Nodes whose pod has not ended."""
        nodes, complete = self.api.metadata(
            self.pods,
            lambda metadata: ((metadata.get("annotations") or {}).get(f"{GROUP}/node-id", ""), ""),
            labelSelector=f"{GROUP}/workflow",
            fieldSelector="status.phase!=Succeeded,status.phase!=Failed",
        )
        if not complete:
            raise ValueError(f"more than {len(nodes)} pods: which are missing is not known")
        return set(nodes)

    def _read(self, key: str) -> None:
        workflow = self._call("GET", key)
        if workflow:
            nodes = (workflow.get("status") or {}).get("nodes") or {}
            learn(self.seen[key], workflow["metadata"]["resourceVersion"], nodes, time.monotonic())

    def _revisit(self, key: str, why: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        patched = self._call("PATCH", key, {"metadata": {"annotations": {ANNOTATION: now}}})
        self.seen[key].revisited = time.monotonic()
        if patched:
            log(f"revisit {key.partition('/')[0]}: {why}")

    def _call(self, method: str, key: str, body: dict | None = None) -> dict | None:
        """None when the workflow is gone."""
        query = "" if body is None else "?fieldManager=revisit"
        try:
            return self.api.call(method, f"{self.workflows}/{key.partition('/')[0]}{query}", body)
        except Refused as refused:
            if refused.status == http.client.NOT_FOUND:
                return None
            raise

    def _attempt(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except FAILURES as error:
            log(f"{type(error).__name__}: {error}")
            return False
        return True


def log(text: str) -> None:
    print(" ".join(text.split())[:400], flush=True)


def end(_signal, _frame) -> None:
    sys.exit(0)


def overdue(_signal, _frame) -> None:
    raise Overdue(f"a round took more than {ROUND_SECONDS} s")


def api_url() -> str:
    """By address, as the kubelet gives it: no name to ask for."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def main() -> None:
    # The first process of a container ends by no signal it has not asked for.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, overdue)
    env = os.environ
    interval = float(env.get("INTERVAL", "20"))
    usual = Limits()
    limits = Limits(
        ended=float(env.get("ENDED", usual.ended)),
        missing=float(env.get("MISSING", usual.missing)),
        pause=float(env.get("PAUSE", usual.pause)),
    )
    account = Path(env.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
    rounds = Round(Api(env.get("KUBERNETES") or api_url(), account), env["NAMESPACE"], limits)
    wait = interval
    while True:
        try:
            signal.alarm(ROUND_SECONDS)
            well = rounds.run()
        except Overdue as error:
            log(str(error))
            well = False
        signal.alarm(0)
        wait = interval if well else min(wait * 2, max(LONGEST_WAIT, interval))
        time.sleep(wait)


if __name__ == "__main__":
    main()
