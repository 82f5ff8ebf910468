"""Every example of examples/ runs as it stands, and the one for boto3 over TLS."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tls_front import TlsFront, certificate

EXAMPLES = Path(__file__).parents[3] / "examples"
MODELS = {
    "openai": "test-model",
    "anthropic": "claude-test",
    "gemini": "gemini-test",
    "cohere": "command-test",
    "ollama": "llama-test",
    "bedrock": "us.anthropic.claude-test-v1:0",
    "chat": "test-model",
    "stream": "test-model",
    "messages": "claude-test",
}
FILES = sorted([*EXAMPLES.glob("python/*.py"), *EXAMPLES.glob("curl/*.sh")])


def model_of(path):
    return MODELS[path.stem.split("_")[0]]


@pytest.fixture(scope="module")
def over_tls(settings, tmp_path_factory):
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    front = TlsFront(settings.root_url, cert, key)
    yield {"TOLLGATE_URL": front.url, "AWS_CA_BUNDLE": str(cert)}
    front.stop()


def test_every_example_is_here_and_in_the_table():
    assert len(FILES) >= 10
    table = (EXAMPLES / "README.md").read_text()
    for path in [*FILES, *EXAMPLES.glob("node/*.mjs")]:
        assert f"({path.relative_to(EXAMPLES)})" in table, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_example_runs(path, settings, over_tls):
    environment = os.environ | {
        "TOLLGATE_URL": settings.root_url,
        "TOLLGATE_KEY": settings.key,
        "TOLLGATE_MODEL": model_of(path),
    }
    if path.stem.startswith("bedrock"):
        environment |= over_tls
    program = sys.executable if path.suffix == ".py" else "bash"
    ran = subprocess.run([program, path], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "alpha" in ran.stdout, ran.stdout
    if path.name in ("chat.sh", "openai_chat.py"):
        assert "0.00" in ran.stdout, "the charge is shown"
