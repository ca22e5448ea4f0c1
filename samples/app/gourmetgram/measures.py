"""What ``/metrics`` tells, and the layer that counts requests. Memory and processor time come with the client library."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)


class Measures:
    def __init__(self, model_version: str, kind: str, revision: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "gourmetgram_http_requests", "Requests answered", ["method", "path", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "gourmetgram_http_request_seconds",
            "Time from a request's arrival to the end of its answer",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.predictions = Counter("gourmetgram_predictions", "Pictures classified", ["class"], registry=self.registry)
        self.prediction_seconds = Histogram(
            "gourmetgram_prediction_seconds",
            "Time the model took for a picture",
            buckets=_SECONDS,
            registry=self.registry,
        )
        model = Gauge(
            "gourmetgram_model_info", "What serves", ["model_version", "kind", "revision"], registry=self.registry
        )
        model.labels(model_version, kind, revision).set(1)


class CountRequests:
    """ASGI layer around the app. Unknown paths count as one, or anyone could fill the memory with names."""

    def __init__(self, app: ASGIApp, measures: Measures, paths: Iterable[str]) -> None:
        self._app = app
        self._measures = measures
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"] if scope["path"] in self._paths else "other"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        try:
            await self._app(scope, receive, note)
        finally:
            self._measures.requests.labels(method, path, str(status)).inc()
            self._measures.latency.labels(path).observe(time.perf_counter() - started)
