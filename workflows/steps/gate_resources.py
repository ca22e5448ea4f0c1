"""
Gate: every pod of the version is ready, was never restarted or killed, and stays clear of its memory limit.
"""

import re

import web
from cluster import lookup
from errors import Code, StepError
from gates import Report, gate
from ledger import Running
from stages import Stages, container_statuses, digest_of, image_digest, is_ready, killed_for_memory
from step import Step

REVISION = "deployment.kubernetes.io/revision"
UNITS = {
    "": 1,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "m": 1e-3,
}
RESIDENT = re.compile(r"^process_resident_memory_bytes(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)


def body(step: Step, stage: str, _running: Running, report: Report) -> None:
    stages = step.stages
    pods = newest_pods(stages, stage)
    if not pods:
        raise StepError(Code.PodsNotReady, f"{stage} has no pod")
    samples = metrics_samples(stages, stage)
    rows = report.found.setdefault("pods", [])
    for pod in pods:
        row = judge(stages, pod, samples, step.settings.number("MEMORY_FRACTION"), rows)
        print(f"{row}", flush=True)


def newest_pods(stages: Stages, stage: str) -> list[dict]:
    """Pods of the Deployment's newest ReplicaSet: what an older one left is not this version's doing."""
    deployment = stages.deployment(stage)
    if deployment is None:
        raise StepError(Code.PodsNotReady, f"{stage} has no Deployment")
    revision = lookup(deployment, "metadata", "annotations", REVISION)
    namespace = stages.namespace(stage)
    sets = stages.cluster.list(
        f"/apis/apps/v1/namespaces/{namespace}/replicasets", labelSelector=f"app={stages.name}"
    )
    newest = {
        lookup(found, "metadata", "name")
        for found in sets
        if lookup(found, "metadata", "annotations", REVISION) == revision
        and lookup(found, "metadata", "ownerReferences", 0, "uid") == lookup(deployment, "metadata", "uid")
    }
    digest = digest_of(str(lookup(deployment, "spec", "template", "spec", "containers", 0, "image") or ""))
    return [
        pod
        for pod in stages.pods(stage)
        if lookup(pod, "metadata", "ownerReferences", 0, "name") in newest and image_digest(pod) == digest
    ]


def judge(stages: Stages, pod: dict, samples: dict[str, float], fraction: float, rows: list) -> dict:
    """The pod's line in the report. Raises the first thing that is wrong with it."""
    name = str(lookup(pod, "metadata", "name"))
    row: dict[str, object] = {"pod": name, "ready": is_ready(pod)}
    rows.append(row)
    statuses = container_statuses(pod)
    row["restarts"] = sum(int(status.get("restartCount") or 0) for status in statuses)
    if any(killed_for_memory(status) for status in statuses):
        raise StepError(Code.OOMKilled, f"{name} was killed because it needs more memory than its limit")
    if row["restarts"]:
        raise StepError(Code.PodsRestarted, f"{name} was restarted {row['restarts']} times")
    if not row["ready"]:
        raise StepError(Code.PodsNotReady, f"{name} is not ready")
    text = str(lookup(pod, "spec", "containers", 0, "resources", "limits", "memory") or "")
    limit = quantity(text)
    if limit is None:
        raise StepError(Code.TooMuchMemory, f"{name} has no memory limit")
    measured = [resident(stages, pod)]
    if name in samples:
        measured.append(samples[name])
    used = max(measured)
    row |= {"memory": round(used), "limit": round(limit), "fraction": round(used / limit, 3)}
    if used >= fraction * limit:
        raise StepError(
            Code.TooMuchMemory,
            f"{name} uses {used / 2**20:.0f} MiB of {limit / 2**20:.0f} MiB, allowed is {fraction:.0%}",
        )
    return row


def resident(stages: Stages, pod: dict) -> float:
    """Resident memory as the application itself tells it."""
    ip = str(lookup(pod, "status", "podIP") or "")
    url = f"http://{f'[{ip}]' if ':' in ip else ip}:{stages.port}/metrics"
    answer = web.call("GET", url, Code.GateFailed, patience=15)
    found = RESIDENT.search(answer.text())
    if answer.status != 200 or found is None:
        raise StepError(Code.GateFailed, f"{url} does not tell process_resident_memory_bytes")
    return float(found.group(1))


def metrics_samples(stages: Stages, stage: str) -> dict[str, float]:
    """Working set by pod, from the metrics API; empty where that has no sample yet, or is not there."""
    try:
        found = stages.cluster.list(
            f"/apis/metrics.k8s.io/v1beta1/namespaces/{stages.namespace(stage)}/pods",
            labelSelector=f"app={stages.name}",
        )
    except StepError as error:
        print(f"no samples of the metrics API: {error}", flush=True)
        return {}
    sums: dict[str, float] = {}
    for pod in found:
        sizes = [
            quantity(str(lookup(entry, "usage", "memory") or "")) for entry in pod.get("containers") or []
        ]
        sums[str(lookup(pod, "metadata", "name"))] = sum(size for size in sizes if size is not None)
    return sums


def quantity(text: str) -> float | None:
    """Bytes of a Kubernetes quantity."""
    match = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([A-Za-z]*)", text)
    if match is None or match.group(2) not in UNITS:
        return None
    return float(match.group(1)) * UNITS[match.group(2)]


if __name__ == "__main__":
    gate(body)
