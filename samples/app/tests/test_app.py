"""The app through its routes, with models made here."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from gourmetgram.classes import CLASSES
from gourmetgram.classifier import Baseline, ModelError, softmax
from gourmetgram.settings import Settings, from_environment
from gourmetgram.web import Drain, GourmetGram


class Stub:
    """A classifier that gives what the test wants."""

    kind = "stub"

    def __init__(self, answer: np.ndarray | Exception) -> None:
        self._answer = answer

    def probabilities(self, _picture: np.ndarray) -> np.ndarray:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def client(answer: np.ndarray | Exception | None = None, drain: Drain | None = None, **settings: object) -> TestClient:
    gourmetgram = GourmetGram(Settings(model_path=Path("/none"), **settings), drain)
    if answer is not None:
        gourmetgram.classifier = Stub(answer)
    return TestClient(gourmetgram.app(), raise_server_exceptions=False)


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (320, 200), colour: tuple[int, int, int] = (76, 166, 56)
) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, kind)
    return data.getvalue()


def test_page() -> None:
    answer = client().get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for asset in ("page/page.js", "page/style.css", "page/icon.svg"):
        assert asset in answer.text
        assert client().get(f"/{asset}").status_code == 200


def test_version_is_that_of_the_image() -> None:
    answer = client(model_version="1.0.12", revision="abc").get("/version")
    assert answer.json() == {"model_version": "1.0.12", "app_revision": "abc"}


def test_version_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_VERSION", raising=False)
    assert from_environment().model_version == "1.0.0"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_predict(kind: str) -> None:
    answer = client(model_version="1.0.3").post("/predict", files={"file": ("a", picture(kind))})
    assert answer.status_code == 200
    body = answer.json()
    assert body["class"] == "Vegetable/Fruit"
    assert body["model_version"] == "1.0.3"
    assert list(body["probabilities"]) == list(CLASSES)
    assert body["confidence"] == max(body["probabilities"].values())
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"file": ("a.txt", b"no picture")}},
        {"files": {"file": ("a.jpg", picture()[:200])}},
        {"files": {"file": ("a.jpg", b"")}},
        {"files": {"other": ("a.jpg", picture())}},
        {"data": {"file": "text"}},
        {"content": picture(), "headers": {"content-type": "image/jpeg"}},
        {"content": b"--x\r\nrubbish", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        {"files": {"file": ("a.png", picture("PNG", (5000, 5000)))}},
    ],
    ids=[
        "text",
        "cut",
        "empty",
        "other-field",
        "not-a-file",
        "no-form",
        "broken-form",
        "no-boundary",
        "too-many-pixels",
    ],
)
def test_bad_upload(request_: dict) -> None:
    answer = client().post("/predict", **request_)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_large_photo_is_read_at_a_fraction_of_its_size() -> None:
    assert client().post("/predict", files={"file": picture("JPEG", (9000, 6000))}).status_code == 200


def test_upload_above_the_limit() -> None:
    answer = client(max_upload=100_000).post("/predict", files={"file": bytes(100_001)})
    assert (answer.status_code, "larger than" in answer.json()["error"]) == (413, True)
    # One byte less is read, and then found to be no picture.
    assert client(max_upload=100_000).post("/predict", files={"file": bytes(100_000)}).status_code == 400


def test_uploads_never_reach_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def rollover(_self: tempfile.SpooledTemporaryFile) -> None:
        raise AssertionError("the upload was written to a file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    noise = np.random.default_rng(1).integers(0, 255, (1000, 1000, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    assert len(data.getvalue()) > 2_000_000
    assert client().post("/predict", files={"file": data.getvalue()}).status_code == 200


def test_built_in_picture() -> None:
    body = client().get("/test").json()
    assert body["class"] in CLASSES


def test_model_that_fails_is_served_and_says_so() -> None:
    broken = client(ModelError("wrong shape"))
    assert broken.get("/readyz").status_code == 200
    for answer in (broken.get("/test"), broken.post("/predict", files={"file": picture()})):
        assert (answer.status_code, answer.json()) == (500, {"error": "wrong shape"})


def test_unexpected_errors_tell_nothing() -> None:
    answer = client(RuntimeError("secret detail")).get("/test")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})


def test_probes() -> None:
    drain = Drain()
    app = client(drain=drain)
    assert [app.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    assert "connection" not in app.get("/version").headers
    drain.started = True
    assert [app.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 503]
    # Still served, and the client is told to connect anew.
    answer = app.get("/version")
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_metrics() -> None:
    app = client(model_version="1.0.3", revision="abc")
    app.get("/test")
    app.get("/no/such/path")
    text = app.get("/metrics").text
    assert 'gourmetgram_model_info{kind="baseline",model_version="1.0.3",revision="abc"} 1.0' in text
    assert 'gourmetgram_http_requests_total{method="GET",path="/test",status="200"} 1.0' in text
    assert 'gourmetgram_http_requests_total{method="GET",path="other",status="404"} 1.0' in text
    assert 'gourmetgram_http_request_seconds_count{path="/test"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_unknown_path() -> None:
    answer = client().get("/nothing")
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


def test_softmax() -> None:
    values = softmax(np.array([1000.0, 999.0]))
    assert values.sum() == pytest.approx(1)
    assert values[0] == pytest.approx(0.7311, abs=1e-3)


def test_baseline_knows_every_class_by_its_colour() -> None:
    for index, colour in enumerate(Baseline._COLOURS):
        pixels = np.broadcast_to(colour[:, None, None], (3, 32, 32))[None].astype(np.float32)
        assert Baseline().probabilities(pixels).argmax() == index
