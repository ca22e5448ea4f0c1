"""Serves the app: ``python -m gourmetgram``."""

import asyncio
import logging
import signal
import sys

import uvicorn

from gourmetgram.settings import Settings, from_environment
from gourmetgram.web import Drain, GourmetGram

#: Longer than proxies keep idle connections (90 s): the side that sends next is to be the one that closes.
_KEEP_ALIVE_SECONDS = 120

log = logging.getLogger("gourmetgram")


class DrainingServer(uvicorn.Server):
    """Loses no request when the pod is replaced: after SIGTERM it first goes on serving, says so on ``/readyz``, and asks
    clients to connect anew; then it takes no more connections and finishes what is under way. A second signal ends it.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds

    def handle_exit(self, sig: int, frame) -> None:
        if sig != signal.SIGTERM or self._drain.started or not self.started:
            super().handle_exit(sig, frame)
            return
        self._drain.started = True
        log.info("SIGTERM: ending in %g seconds", self._seconds)
        asyncio.get_running_loop().call_later(self._seconds, self._end)

    def _end(self) -> None:
        # Not by the signal, which would be raised again after the last request: a planned end is no failure.
        self.should_exit = True


async def serve(settings: Settings) -> None:
    drain = Drain()
    gourmetgram = GourmetGram(settings, drain)
    log.info("model %s (%s), revision %s", settings.model_version, gourmetgram.classifier.kind, settings.revision)
    config = uvicorn.Config(
        gourmetgram.app(),
        host="0.0.0.0",
        port=settings.port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    await DrainingServer(config, drain, settings.drain_seconds).serve()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Until the server has a handler of its own: process 1 of a container ignores signals it has none for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(serve(from_environment()))


if __name__ == "__main__":
    main()
