"""
Writes why a workflow ended badly into the ledger of the stage it was for, unless a step of it has said so.
What the stage runs stays as it is: `from` and `to` are the same.
"""

import ast
import json
import re

import ledger as book
from errors import Code, StepError, redact
from ledger import NOTHING, Entry
from step import Step, run

# A run that ended one of these ways has its reason in the ledger.
SAID = frozenset({book.FAILED, book.REJECTED, book.REVERTED})
TRAINING = "run-training"
NAMED = re.compile(rf"\b(?:{'|'.join(Code)}): .*", re.DOTALL)
# What Argo puts before the message of a program, and says of nodes that only hold others.
EXIT = re.compile(r"^(?:[\w-]+: )?(?:Error|\w+) \(exit code \d+\)(?:: )?")
EXIT_CODE = re.compile(r"exit code (\d+)")
# How the training ends when it does not reach MLflow.
UNREACHABLE = "3"
HOLDER = re.compile(r"^(?:child '.*' (?:failed|errored)|No more retries left)")
# More than Kubernetes keeps of a program's last words.
LONGEST = 8192
RETRY = re.compile(r"(.*)\(\d+\)")


def main(step: Step) -> None:
    settings = step.settings
    stage = settings.stage("STAGE")
    reason = reason_of(settings.optional("FAILURES"))
    print(reason, flush=True)
    for each in settings.stages:
        for entry in step.ledger.entries(each):
            if entry.workflow == step.workflow != "" and entry.action in SAID:
                print(f"{entry.name} has said: {entry.action}: {entry.reason}", flush=True)
                return
    running = book.current(step.ledger.entries(stage)) or NOTHING
    # An id of its own: it ends no change that was begun, which is for settle and the next change to do.
    change = f"{step.workflow}.{stage}.end"
    step.ledger.append(Entry(stage, book.FAILED, change, running, running, reason, step.by, step.workflow))


def reason_of(failures: str) -> str:
    """The named error of the node that failed first, in the words of its program or of Argo."""
    nodes = parse(failures)
    names = {node["displayName"] for node in nodes}
    nodes = [node for node in nodes if not HOLDER.match(node["message"]) and not made_good(node, names)]
    nodes.sort(key=lambda node: (node["finishedAt"] == "", node["finishedAt"]))
    for node in nodes:
        named = NAMED.search(node["message"])
        if named:
            return redact(named[0])
    for node in nodes:
        if node["templateName"] == TRAINING:
            return training_error(node["message"])
    for node in nodes:
        if node["message"]:
            said = EXIT.sub("", node["message"]) or node["message"]
            return str(StepError(Code.WorkflowFailed, f"{node['displayName']}: {said}"))
    return str(StepError(Code.WorkflowFailed, "no step gave a reason"))


def training_error(message: str) -> str:
    """Code of the training repository: how it ended, and its last words. Its README says what the codes mean."""
    code = EXIT_CODE.search(message)
    words = [line for line in EXIT.sub("", message).splitlines() if line.strip()]
    said = words[-1].strip() if words else "it gave no reason"
    if code and code[1] == UNREACHABLE:
        return str(StepError(Code.MLflowUnavailable, f"the training could not reach it: {said}"))
    return str(StepError(Code.TrainingFailed, f"{code[0]}: {said}" if code else said))


def made_good(node: dict[str, str], names: set[str]) -> bool:
    """Whether it was a try after which another one succeeded: then the step as a whole did not fail."""
    tried = RETRY.fullmatch(node["displayName"])
    return tried is not None and tried[1] not in names


def parse(failures: str) -> list[dict[str, str]]:
    """The nodes Argo lists. It quotes the list as Go quotes a text, which JSON does not always take."""
    text = failures.strip()
    try:
        if text.startswith('"'):
            text = ast.literal_eval(text)
        found = json.loads(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return []
    keys = ("displayName", "templateName", "message", "finishedAt")
    nodes = found if isinstance(found, list) else []
    return [
        {key: str(node.get(key) or "")[:LONGEST] for key in keys} for node in nodes if isinstance(node, dict)
    ]


if __name__ == "__main__":
    run(main)
