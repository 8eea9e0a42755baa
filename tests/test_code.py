"""The code's form is part of the test command: lint, format and types."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_code_is_clean(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_app_never_imports_the_training_side():
    for file in [*(ROOT / "skin_gradio").rglob("*.py"), ROOT / "app.py"]:
        text = file.read_text(encoding="utf-8")
        assert "import training" not in text, file
        assert "from training" not in text, file
