"""What to do with a server's machine. Pure."""

from dataclasses import dataclass

from servers import Server


@dataclass(frozen=True)
class Record:
    """What the watcher knows of a machine it made; kept in the machine's folder."""

    rebuild: int
    reboot: int
    # Whether we, not somebody inside, last switched it on.
    on: bool


def decide(server: Server | None, record: Record | None, running: bool, just_started: bool) -> str | None:
    """
    One of `create`, `start`, `stop`, `restart`, `delete`, or `None`.

    :param server: as the cloud has it; `None` when it has no such server
    :param just_started: the watcher sees this machine for the first time, so one that should run may have been killed
    """
    if server is None or server.status in ("ERROR", "DELETED", "SOFT_DELETED"):
        return None if record is None else "delete"
    if server.busy:
        return None
    if server.status == "SHUTOFF" or server.status.startswith("SHELVED"):
        return "stop" if record is not None and (record.on or running) else None
    if server.status != "ACTIVE":
        return None
    if record is None or record.rebuild != server.rebuild:
        # Before nova has told of all cards there is nothing to connect.
        return "create" if server.nics else None
    if record.reboot != server.reboot:
        return "restart"
    # Switched off from inside: a cloud leaves it so.
    return "start" if not running and (just_started or not record.on) else None
