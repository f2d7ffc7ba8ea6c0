"""npm "@anthropic-ai/claude-code": its program, without a terminal."""

import json

import pytest

from agents import NAME, program, run, sent, stopping
from both import BREAKS, GATEWAY, HASTY, PROXIED, closed, fake_requests, prepare

PATH = "/v1/messages"
WORDS = "w0 w1 w2 w3 w4 "
KEY = "key-0123456789"


def claude(home, url, model="m1", during=None):
    return run([program("@anthropic-ai/claude-code-linux-{arch}/claude"),
                "-p", "hi", "--bare", "--output-format", "json",
                "--allowedTools", "Bash"], home, during,
               CLAUDE_CONFIG_DIR=str(home / ".claude"),
               ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY=KEY,
               ANTHROPIC_MODEL=model, ANTHROPIC_DEFAULT_HAIKU_MODEL="m2",
               ANTHROPIC_CUSTOM_HEADERS=f"X-Ollama-Task-Id: {NAME}",
               CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
               CLAUDE_CODE_MAX_RETRIES="0", DISABLE_AUTOUPDATER="1",
               DISABLE_TELEMETRY="1", DISABLE_ERROR_REPORTING="1",
               IS_SANDBOX="1")


def result(answer):
    lines = answer.lines()

    assert lines and lines[-1]["type"] == "result", answer
    return lines[-1]


@pytest.mark.parametrize("url", [GATEWAY, PROXIED],
                         ids=["gateway", "behind another nginx"])
def test_chat_with_a_tool(tmp_path, url):
    prepare({"tool_calls": True, "tool_once": True, "tool_name": "Bash",
             "tool_args": json.dumps({"command": "echo sunny >weather;"
                                                 " cat weather"})})
    answer = claude(tmp_path, url)
    value = result(answer)

    assert answer.status == 0 and value["is_error"] is False, answer
    assert value["result"] == WORDS
    assert value["num_turns"] == 2
    assert (tmp_path / "work" / "weather").read_text() == "sunny\n"

    first, second = sent(PATH)
    assert first["stream"] is True
    (told,) = second["messages"][-1]["content"]
    assert (told["type"], told["content"]) == ("tool_result", "sunny")

    for word in (NAME, KEY):
        assert word not in json.dumps(fake_requests())


def test_unknown_model(tmp_path):
    prepare({})

    answer = claude(tmp_path, GATEWAY, model="nix")
    value = result(answer)

    assert answer.status == 1 and value["is_error"] is True, answer
    assert value["api_error_status"] == 404
    assert value["api_error_type"] == "not_found_error"
    assert "(nix)" in value["result"]


@pytest.mark.parametrize("url", [GATEWAY, PROXIED],
                         ids=["gateway", "behind another nginx"])
@pytest.mark.parametrize("fault", ["die", "reset"])
def test_cut(tmp_path, url, fault):
    """It asks once more, without a stream, and fails if that is cut, too."""

    prepare({"fault": fault, "after": 2})

    answer = claude(tmp_path, url)

    assert answer.status == 1 and result(answer)["is_error"] is True, answer
    assert [body.get("stream", False) for body in sent(PATH)][0] is True


@pytest.mark.parametrize("url", [GATEWAY, PROXIED],
                         ids=["gateway", "behind another nginx"])
def test_no_last_frame(tmp_path, url):
    """Asked without a stream the server answers: that is what it shows."""

    prepare(BREAKS["no last frame"])

    answer = claude(tmp_path, url)

    assert answer.status == 0 and result(answer)["result"] == WORDS, answer
    assert [body.get("stream", False) for body in sent(PATH)] == [True, False]


def test_stop(tmp_path):
    """What there is so far is the answer."""

    prepare({"frames": 6000, "gap_ms": 10})

    answer = claude(tmp_path, GATEWAY, during=lambda: stopping(PATH))
    value = result(answer)

    assert answer.status == 0 and value["is_error"] is False, answer
    assert value["stop_reason"] == "end_turn"
    assert closed()["frames_sent"] < 6000
    assert len(fake_requests(path=PATH)) == 1
