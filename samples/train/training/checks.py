"""Runs the tests on a model and counts them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_ROOT = Path(__file__).parent.parent
#: Seconds after which the tests count as failed.
_TIMEOUT = 300


@dataclass(frozen=True)
class CheckResult:
    passed: int
    failed: int
    output: str

    @property
    def total(self) -> int:
        return self.passed + self.failed

    @property
    def ok(self) -> bool:
        # No test at all is no proof.
        return self.passed > 0 and self.failed == 0


def run_checks(model: Path, scenario: str) -> CheckResult:
    """The tests of ``tests/test_model_*.py``, in a process of their own: their memory goes when they end."""
    report = model.parent.parent / "report.xml"
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [str(file) for file in sorted((_ROOT / "tests").glob("test_model_*.py"))]
    environment = {**os.environ, "MODEL_PATH": str(model), "SCENARIO": scenario, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        return CheckResult(0, 1, f"{error.stdout or ''}\nthe tests took more than {_TIMEOUT} s")
    output = done.stdout + done.stderr
    if not report.is_file():
        return CheckResult(0, 1, f"{output}\npytest ended with {done.returncode} and no report")
    suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    # A crash of pytest itself is in its exit code only.
    failed += 1 if done.returncode != 0 and failed == 0 else 0
    return CheckResult(counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"], failed, output)
