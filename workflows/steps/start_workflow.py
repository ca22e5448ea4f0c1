"""Starts a workflow of a template, unless it ran well before, and follows it to its end. Safe to repeat."""

import time
from contextlib import suppress

from cluster import Cluster, Conflict, lookup
from errors import Code, StepError
from step import Step, run

LOOK_SECONDS = 1.0
# A name is used once: a failed workflow stays to be looked at, and the next attempt gets a number.
MOST_ATTEMPTS = 100
BAD = ("Failed", "Error")


def main(step: Step) -> None:
    settings = step.settings
    namespace, template = settings.text("WORKFLOW_NAMESPACE"), settings.text("TEMPLATE")
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
    name = start(step.cluster, path, template, settings.text("WORKFLOW_NAME"))
    if name is not None:
        follow(step, path, name)


def start(cluster: Cluster, path: str, template: str, wanted: str) -> str | None:
    """Name of the workflow that runs, None when it ran well before."""
    for attempt in range(1, MOST_ATTEMPTS):
        name = wanted if attempt == 1 else f"{wanted}-{attempt}"
        found = cluster.get(f"{path}/{name}")
        if found is None:
            # There already: made by the pod before this one.
            with suppress(Conflict):
                cluster.create(path, render(name, template))
            print(f"started {name}", flush=True)
            return name
        phase = lookup(found, "status", "phase")
        if phase == "Succeeded":
            print(f"{name} has succeeded already", flush=True)
            return None
        if phase not in BAD:
            print(f"following {name}", flush=True)
            return name
    raise StepError(Code.WorkflowFailed, f"{wanted} failed {MOST_ATTEMPTS} times: remove its workflows")


def render(name: str, template: str) -> dict:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "gourmetgram"}},
        "spec": {
            "workflowTemplateRef": {"name": template},
            "arguments": {"parameters": [{"name": "requested-by", "value": "pulumi up"}]},
        },
    }


def follow(step: Step, path: str, name: str) -> None:
    shown: dict[str, str] = {}
    while True:
        found = step.cluster.get(f"{path}/{name}")
        if found is None:
            raise StepError(Code.WorkflowFailed, f"{name} was removed while it ran")
        for node in pods_of(found):
            state = f"{node.get('displayName')}: {node.get('phase')}"
            if shown.get(str(node.get("id"))) != state:
                shown[str(node.get("id"))] = state
                print(state, flush=True)
        phase = lookup(found, "status", "phase")
        if phase == "Succeeded":
            return
        if phase in BAD:
            raise StepError(Code.WorkflowFailed, f"{name}: {why(found)}")
        if step.budget.left() <= 0:
            raise StepError(Code.WorkflowFailed, f"{name} has not ended in time: {'; '.join(shown.values())}")
        time.sleep(LOOK_SECONDS)


def pods_of(workflow: dict) -> list[dict]:
    nodes = lookup(workflow, "status", "nodes")
    found = nodes.values() if isinstance(nodes, dict) else ()
    return sorted(
        (node for node in found if node.get("type") == "Pod"), key=lambda node: str(node.get("startedAt"))
    )


def why(workflow: dict) -> str:
    """What the first step that failed said of itself."""
    bad = [node for node in pods_of(workflow) if node.get("phase") in BAD]
    if not bad:
        return str(lookup(workflow, "status", "message") or lookup(workflow, "status", "phase"))
    return f"{bad[0].get('displayName')}: {bad[0].get('message') or bad[0].get('phase')}"


if __name__ == "__main__":
    run(main)
