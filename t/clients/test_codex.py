"""npm "@openai/codex": its program, without a terminal."""

import gzip
import json
import urllib.request

import pytest
import zstandard

from agents import AGENTS, NAME, NODE, run, sent, stopping
from both import BREAKS, GATEWAY, HASTY, PROXIED, closed, fake_requests, prepare

PATH = "/v1/responses"
WORDS = "w0 w1 w2 w3 w4 "


def codex(home, url, model="m1", during=None):
    folder = home / ".codex"
    folder.mkdir(exist_ok=True)

    # it tries a cut stream again by itself
    (folder / "config.toml").write_text(f"""
model = "{model}"
model_provider = "fleet"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.fleet]
name = "fleet"
base_url = "{url}/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
http_headers = {{ "X-Ollama-Task-Id" = "{NAME}" }}
""")

    return run([NODE, f"{AGENTS}/@openai/codex/bin/codex.js", "exec", "--json",
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox", "hi"],
               home, during, CODEX_HOME=str(folder))


def items(answer, kind):
    return [line["item"] for line in answer.lines()
            if line["type"] == "item.completed"
            and line["item"]["type"] == kind]


def failure(answer):
    """What it says of a turn that failed."""

    assert answer.status == 1, answer
    return answer.lines()[-1]["error"]["message"]


@pytest.mark.parametrize("url", [GATEWAY, PROXIED],
                         ids=["gateway", "behind another nginx"])
def test_chat_with_a_tool(tmp_path, url):
    prepare({"tool_calls": True, "tool_once": True,
             "tool_name": "exec_command",
             "tool_args": json.dumps({"cmd": "echo sunny >weather;"
                                             " cat weather"})})
    answer = codex(tmp_path, url)

    assert answer.status == 0, answer
    assert [(item["aggregated_output"], item["exit_code"])
            for item in items(answer, "command_execution")] == [("sunny\n", 0)]
    assert items(answer, "agent_message")[-1]["text"] == WORDS
    assert (tmp_path / "work" / "weather").read_text() == "sunny\n"

    first, second = sent(PATH)
    assert first["stream"] is True
    assert second["input"][-1]["type"] == "function_call_output"
    assert "sunny" in second["input"][-1]["output"]
    assert NAME not in json.dumps(fake_requests())


def test_unknown_model(tmp_path):
    prepare({})

    text = failure(codex(tmp_path, GATEWAY, model="nix"))
    assert "404" in text and "model 'nix' not found" in text


@pytest.mark.parametrize("cut", BREAKS)
@pytest.mark.parametrize("url", [GATEWAY, PROXIED],
                         ids=["gateway", "behind another nginx"])
def test_cut(tmp_path, url, cut):
    prepare(BREAKS[cut])

    answer = codex(tmp_path, url)

    assert failure(answer).startswith("stream disconnected"), answer
    assert len(fake_requests()) == 1


def test_stall(tmp_path):
    prepare({"fault": "stall", "after": 2})

    assert failure(codex(tmp_path, HASTY)).startswith("stream disconnected")
    closed()


def test_stop(tmp_path):
    """It says so, and does not try again."""

    prepare({"frames": 6000, "gap_ms": 10})

    text = failure(codex(tmp_path, GATEWAY, during=lambda: stopping(PATH)))
    assert text == "Incomplete response returned, reason: cancelled"
    assert closed()["frames_sent"] < 6000
    assert len(fake_requests()) == 1


# What it sends to some servers

@pytest.mark.parametrize("coding, code", [
    ("zstd", lambda data: zstandard.ZstdCompressor().compress(data)),
    ("zstd", lambda data: zstandard.ZstdCompressor(
        write_content_size=False).compress(data)),
    ("gzip", gzip.compress)], ids=["zstd", "zstd without a size", "gzip"])
def test_coded_body(coding, code):
    prepare({})

    body = json.dumps({"model": "m1", "input": "hi " * 50_000}).encode()
    request = urllib.request.Request(
        f"{GATEWAY}{PATH}", code(body), headers={
            "Content-Type": "application/json", "Content-Encoding": coding})

    with urllib.request.build_opener(
            urllib.request.ProxyHandler({})).open(request) as reply:
        value = json.loads(reply.read())

    assert value["output"][-1]["content"][0]["text"] == WORDS

    (asked,) = fake_requests()
    assert asked["body_bytes"] == len(body)
    assert asked["body"].encode() == body[:len(asked["body"])]
    assert "content-encoding" not in asked["headers"]
