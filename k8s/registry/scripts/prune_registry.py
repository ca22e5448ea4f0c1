"""Takes old tags out of the registry and asks it to collect what nobody refers to any more.

A tag's family is its text without the number at its end: `app-1.0.7` and `app-1.0.12` are one family, `cache` is one of
its own. Of each family the KEEP highest numbers stay. Tags that are Git commits are one family too, by the time their
images were made. Every tag stays whose digest a stage runs, or which the ledger names in a stage's last change or the one
before: what could be reverted to is still there.

Settings: REGISTRY (host:port), KEEP, STAGE_NAMESPACES (space separated), LEDGER_NAMESPACE (may be empty), DEPLOYMENT
(namespace/name of the registry), KUBERNETES (URL of the API server). Files: LOGIN (config.json of Docker), REGISTRY_CA,
SERVICE_ACCOUNT (folder with token and ca.crt).
"""

import base64
import datetime
import functools
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

MANIFEST_TYPES = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Api:
    """One HTTP service with its certificate authority and its login."""

    def __init__(self, url, ca_file, authorization):
        self.url = url
        self.authorization = authorization
        self.context = (
            ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
        )

    def request(self, path, method="GET", headers=None, body=None):
        """The answer's headers and body; an HTTP error is raised."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        for key, value in {"Authorization": self.authorization, **(headers or {})}.items():
            request.add_header(key, value)
        with urllib.request.urlopen(request, timeout=60, context=self.context) as answer:
            return answer.headers, answer.read()

    def json(self, path):
        return json.loads(self.request(path)[1] or b"{}")


def pages(registry, path, key):
    """All entries of a list the registry hands out in pages."""
    found = []
    while path:
        headers, body = registry.request(path)
        found += json.loads(body).get(key) or []
        match = re.search(r"<([^>]+)>;\s*rel=\"next\"", headers.get("Link", ""))
        target = urllib.parse.urlsplit(match.group(1)) if match else None
        path = f"{target.path}?{target.query}" if target else ""
    return found


def superseded(tags, keep, created):
    """The tags beyond the `keep` newest of their family; `created(tag)` is asked for commits only."""
    families = {}
    for tag in tags:
        if COMMIT.fullmatch(tag):
            families.setdefault("<commit>", []).append((created(tag), tag))
            continue
        prefix, number = re.fullmatch(r"(.*?)(\d*)", tag, re.DOTALL).groups()
        families.setdefault(prefix, []).append((int(number or -1), tag))
    return [
        tag
        for family in families.values()
        for _, tag in sorted(family, reverse=True)[keep:]
    ]


def used_digests(kubernetes, namespaces, ledger_namespace):
    """Digests in the stages' Deployments, and those of each stage's last two closed changes."""
    digests = set()
    for namespace in namespaces:
        deployments = kubernetes.json(f"/apis/apps/v1/namespaces/{namespace}/deployments")
        digests.update(DIGEST.findall(json.dumps(deployments.get("items", []))))
    if ledger_namespace:
        path = f"/apis/gourmetgram.dev/v1/namespaces/{ledger_namespace}/ledgerentries"
        try:
            entries = kubernetes.json(path).get("items", [])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            entries = []
        closed = {}
        for entry in sorted(entries, key=lambda item: item["spec"].get("at", "")):
            if entry["spec"].get("action") in ("deployed", "reverted"):
                closed.setdefault(entry["spec"].get("stage"), []).append(entry["spec"])
        for changes in closed.values():
            digests.update(DIGEST.findall(json.dumps(changes[-2:])))
    return digests


def created_at(registry, repository, tag):
    """When the image of a tag was made, as its configuration says; sortable text, empty when it does not say."""
    manifest = f"/v2/{repository}/manifests/{tag}"
    config = json.loads(registry.request(manifest, headers={"Accept": MANIFEST_TYPES})[1]).get("config")
    if not config:
        return ""
    return registry.json(f"/v2/{repository}/blobs/{config['digest']}").get("created", "")


def prune(registry, keep, used):
    """Untags what is neither new nor used; returns how many tags went."""
    removed = 0
    for repository in pages(registry, "/v2/_catalog?n=100", "repositories"):
        try:
            tags = pages(registry, f"/v2/{repository}/tags/list?n=1000", "tags")
        except urllib.error.HTTPError as error:
            # A repository whose last tag went is still in the catalogue.
            if error.code != 404:
                raise
            continue
        for tag in superseded(tags, keep, functools.partial(created_at, registry, repository)):
            path = f"/v2/{repository}/manifests/{tag}"
            headers, _ = registry.request(path, "HEAD", {"Accept": MANIFEST_TYPES})
            if headers.get("Docker-Content-Digest") in used:
                print(f"kept {repository}:{tag}: in use")
                continue
            registry.request(path, "DELETE")
            print(f"removed {repository}:{tag}")
            removed += 1
    return removed


def request_collection(kubernetes, deployment, now):
    """Starts the registry's pod anew, with the word that it shall collect first."""
    namespace, name = deployment.split("/")
    annotations = {"gourmetgram.dev/collect": now}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    kubernetes.request(
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}?fieldManager=registry-retention",
        "PATCH",
        {"Content-Type": "application/strategic-merge-patch+json"},
        json.dumps(patch).encode(),
    )


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    env = os.environ
    address = env["REGISTRY"]
    login = json.loads(read(env["LOGIN"]))["auths"][address.split("://")[-1]]
    basic = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
    url = address if "://" in address else f"https://{address}"
    registry = Api(url, env["REGISTRY_CA"], f"Basic {basic}")
    account = env["SERVICE_ACCOUNT"]
    token = read(f"{account}/token").strip()
    kubernetes = Api(env["KUBERNETES"], f"{account}/ca.crt", f"Bearer {token}")

    used = used_digests(kubernetes, env["STAGE_NAMESPACES"].split(), env["LEDGER_NAMESPACE"])
    removed = prune(registry, int(env["KEEP"]), used)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    request_collection(kubernetes, env["DEPLOYMENT"], now)
    print(f"{removed} tags removed, {len(used)} digests in use; the registry starts again")


if __name__ == "__main__":
    try:
        main()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url}: {error.code} {error.read().decode(errors='replace')[:500]}")
