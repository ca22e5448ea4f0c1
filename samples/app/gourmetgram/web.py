"""The app's routes.

``/``         the page
``/predict``  POST a form with a picture in the field ``file``: its class, as JSON
``/test``     the class of a built-in picture, as JSON: does the model work at all?
``/version``  which model this is
``/healthz``  the process answers
``/readyz``   the model is loaded, and the app is not about to end
``/metrics``  numbers for Prometheus

Every error is JSON: ``{"error": "..."}``.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio.to_thread
import numpy as np
from anyio import CapacityLimiter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gourmetgram.classes import CLASSES
from gourmetgram.classifier import Classifier, ModelError, load_classifier
from gourmetgram.measures import CountRequests, Measures
from gourmetgram.picture import BadPicture, example_picture, read_picture
from gourmetgram.settings import Settings
from gourmetgram.upload import BadUpload, UploadTooLarge, read_upload

log = logging.getLogger("gourmetgram")

_PAGE = Path(__file__).parent / "page"
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
}


class Drain:
    """Whether the app is about to end. Set by the server on SIGTERM."""

    def __init__(self) -> None:
        self.started = False


class GourmetGram:
    """Loads the model, so that whoever gets an object has an app that can serve."""

    def __init__(self, settings: Settings, drain: Drain | None = None) -> None:
        self.settings = settings
        self.drain = drain or Drain()
        self.classifier: Classifier = load_classifier(settings.model_path)
        self.measures = Measures(settings.model_version, self.classifier.kind, settings.revision)
        # Models compute in threads of their own, so that a slow one never keeps probes and metrics waiting. The test
        # picture has a lane for itself: it must not stand in the users' queue.
        self._lane = CapacityLimiter(settings.threads)
        self._test_lane = CapacityLimiter(1)
        self._example = example_picture()
        self._last_error = ""
        self._warm_up()

    def _warm_up(self) -> None:
        """The first prediction takes longer, so it is made before anyone waits for it."""
        try:
            self._judge(lambda: self._example)
        except ModelError as error:
            # Served all the same: `/version`, `/test` and the logs tell what is wrong, and the tests of staging see it.
            self._log_once(error)

    def _log_once(self, error: ModelError) -> None:
        """A model that fails does so for every picture, with the same words."""
        if str(error) != self._last_error:
            self._last_error = str(error)
            log.error("%s", error)

    async def page(self, _request: Request) -> Response:
        return FileResponse(_PAGE / "index.html")

    async def predict(self, request: Request) -> Response:
        if self._lane.statistics().tasks_waiting >= self.settings.max_waiting:
            raise HTTPException(503, "too many pictures are waiting", {"Retry-After": "5"})
        data = await read_upload(request, self.settings.max_upload)
        return JSONResponse(await self._answer(partial(read_picture, data), self._lane))

    async def test(self, _request: Request) -> Response:
        return JSONResponse(await self._answer(lambda: self._example, self._test_lane))

    async def version(self, _request: Request) -> Response:
        return JSONResponse({"model_version": self.settings.model_version, "app_revision": self.settings.revision})

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        if self.drain.started:
            return JSONResponse({"status": "ending"}, 503)
        return JSONResponse({"status": "ok"})

    async def metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self.measures.registry), media_type=CONTENT_TYPE_LATEST)

    async def _answer(self, picture: Callable[[], np.ndarray], lane: CapacityLimiter) -> dict:
        probabilities = await anyio.to_thread.run_sync(self._judge, picture, limiter=lane)
        best = int(np.argmax(probabilities))
        self.measures.predictions.labels(CLASSES[best]).inc()
        return {
            "class": CLASSES[best],
            "confidence": round(float(probabilities[best]), 4),
            "probabilities": {name: round(float(value), 4) for name, value in zip(CLASSES, probabilities, strict=True)},
            "model_version": self.settings.model_version,
        }

    def _judge(self, picture: Callable[[], np.ndarray]) -> np.ndarray:
        pixels = picture()
        started = time.perf_counter()
        try:
            return self.classifier.probabilities(pixels)
        finally:
            self.measures.prediction_seconds.observe(time.perf_counter() - started)

    def app(self) -> Starlette:
        routes = [
            Route("/", self.page),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/test", self.test),
            Route("/version", self.version),
            Route("/healthz", self.health),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
            Mount("/page", StaticFiles(directory=_PAGE)),
        ]
        paths = [route.path for route in routes]
        return Starlette(
            routes=routes,
            middleware=[
                Middleware(CountRequests, measures=self.measures, paths=paths),
                Middleware(AddHeaders, drain=self.drain),
            ],
            exception_handlers={
                HTTPException: _http_error,
                BadPicture: partial(_error, 400),
                BadUpload: partial(_error, 400),
                UploadTooLarge: self._too_large,
                ModelError: self._model_error,
                ClientDisconnect: partial(_error, 400),
                Exception: _unexpected,
            },
        )

    async def _model_error(self, _request: Request, error: ModelError) -> Response:
        self._log_once(error)
        return JSONResponse({"error": str(error)}, 500)

    async def _too_large(self, _request: Request, _error: Exception) -> Response:
        limit = self.settings.max_upload // 1024 // 1024
        # The rest of the upload is not read, so the connection cannot be used again.
        return JSONResponse({"error": f"the file is larger than {limit} MiB"}, 413, {"Connection": "close"})


class AddHeaders:
    """Adds what every answer says; while the app drains, also that the client is to connect anew, to another pod."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                headers += list(_HEADERS.items())
                if self._drain.started:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, add)


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _error(status: int, _request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status)


async def _unexpected(_request: Request, _error: Exception) -> Response:
    # The server logs the error itself; its text may hold what is nobody's business.
    return JSONResponse({"error": "internal error"}, 500)
