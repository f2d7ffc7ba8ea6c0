"""npm "opencode-ai": its program, without a terminal."""

import json

import pytest

from agents import NAME, comes_true, program, run, sent, stopping
from both import (BREAKS, GATEWAY, PROXIED, closed, fake, fake_requests,
                  prepare)

PATH = "/v1/chat/completions"
WORDS = "w0 w1 w2 w3 w4 "


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One for all: at the first start it makes its database."""

    return tmp_path_factory.mktemp("home")


def opencode(home, url, model="m1", during=None):
    config = {
        "autoupdate": False, "share": "disabled", "snapshot": False,
        "lsp": False, "formatter": False, "enabled_providers": ["fleet"],
        "model": f"fleet/{model}", "small_model": "fleet/m2",
        "provider": {"fleet": {
            # a part of the program
            "npm": "@ai-sdk/openai-compatible", "name": "fleet",
            "options": {"baseURL": f"{url}/v1", "apiKey": "secret",
                        "headers": {"X-Ollama-Task-Id": NAME}},
            "models": {name: {"name": name}
                       for name in ("m1", "m2", "nix")}}}}

    # with a title it need not ask for one
    return run([program("opencode-linux-{arch}*/bin/opencode"), "run",
                "--pure", "--format", "json", "--title", "weather", "hi"],
               home, during,
               OPENCODE_CONFIG_CONTENT=json.dumps(config),
               OPENCODE_DISABLE_AUTOUPDATE="1",
               OPENCODE_DISABLE_MODELS_FETCH="1",
               OPENCODE_DISABLE_DEFAULT_PLUGINS="1",
               OPENCODE_DISABLE_EXTERNAL_SKILLS="1",
               OPENCODE_DISABLE_LSP_DOWNLOAD="1")


def parts(answer, kind):
    return [line["part"] for line in answer.lines() if line["type"] == kind]


def failure(answer):
    """The error that is the last thing it says."""

    assert answer.status == 1, answer
    last = answer.lines()[-1]
    assert last["type"] == "error", answer
    return last["error"]["data"]


def text(answer):
    assert answer.status == 0, answer
    assert parts(answer, "step_finish")[-1]["reason"] == "stop"
    return parts(answer, "text")[-1]["text"]


def test_chat_with_a_tool(home):
    """It stamps its requests with an X-Session-Id, which is its own."""

    note = home / "work" / "note"
    note.parent.mkdir(exist_ok=True)
    note.write_text("sunny\n")

    prepare({"tool_calls": True, "tool_once": True, "tool_name": "read",
             "tool_args": json.dumps({"filePath": str(note)})})
    answer = opencode(home, GATEWAY)

    assert text(answer) == WORDS
    (call,) = parts(answer, "tool_use")
    assert call["state"]["status"] == "completed", call
    assert "sunny" in call["state"]["output"]

    first, second = sent(PATH)
    assert first["stream"] is True
    assert second["messages"][-1]["role"] == "tool"
    assert "sunny" in second["messages"][-1]["content"]

    for request in fake_requests():
        assert request["headers"]["x-session-id"].startswith("ses_")
        assert "authorization" not in request["headers"]
        assert "x-ollama-task-id" not in request["headers"]


def test_unknown_model(home):
    prepare({})

    error = failure(opencode(home, GATEWAY, model="nix"))
    assert error["statusCode"] == 404
    assert error["message"] == "model 'nix' not found"


def test_cut(home):
    """Of a connection that breaks it asks again: the text is whole."""

    def mend():
        comes_true(wait_ended=1, path=PATH)
        fake("set", {"model": "*", "fault": "none"})

    prepare(BREAKS["die"])

    assert text(opencode(home, GATEWAY, during=mend)) == WORDS
    assert len(fake_requests(path=PATH)) >= 2


def test_cut_behind_another_nginx(home):
    prepare(BREAKS["die"])

    assert 'server \\"127.0.0.1:' \
        in failure(opencode(home, PROXIED))["message"]


def test_stop(home):
    prepare({"frames": 6000, "gap_ms": 10})

    answer = opencode(home, GATEWAY, during=lambda: stopping(PATH))

    assert text(answer).startswith("w0 ")
    assert closed()["frames_sent"] < 6000
    assert len(fake_requests(path=PATH)) == 1
