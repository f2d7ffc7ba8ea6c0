"""PyPI "langchain-ollama"."""

import asyncio
import base64
import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

from both import (BREAKS, DIRECT, GATEWAY, alisted, both, closed, cut_behind,
                  fake_requests, listed, prepare, same, same_error, stop)

WORDS = "w0 w1 w2 w3 w4 "


def model(url, **options):
    return ChatOllama(model="m1", base_url=url, **options)


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "fine"


def words(pieces):
    return "".join(piece["content"] for piece in pieces)


def test_invoke():
    value = same(lambda url: model(url).invoke("hi"))

    assert value["content"] == WORDS
    assert value["response_metadata"]["done_reason"] == "stop"
    assert value["usage_metadata"]["output_tokens"] == 5


def test_stream():
    value = same(lambda url: listed(model(url).stream("hi")), frames=50)

    assert words(value) == "".join(f"w{i} " for i in range(50))
    assert len(value) >= 50


def test_async():
    async def ask(url):
        return [await model(url).ainvoke("hi"),
                await alisted(model(url).astream("hi"))]

    value = same(lambda url: asyncio.run(ask(url)))
    assert value[0]["content"] == words(value[1]) == WORDS


def test_batch():
    def ask(url):
        return model(url).batch(["a", "b", "c"])

    for url in (DIRECT, GATEWAY):
        prepare({})
        assert [reply.content for reply in ask(url)] == [WORDS] * 3
        assert len(fake_requests()) == 3


def test_thinking():
    value = same(lambda url: model(url, reasoning=True).invoke("hi"),
                 thinking=2)

    assert value["content"] == WORDS
    assert value["additional_kwargs"]["reasoning_content"] == "t0 t1 "
    assert json.loads(fake_requests()[-1]["body"])["think"] is True


def test_tools():
    value = same(lambda url: model(url).bind_tools([get_weather])
                 .invoke("hi"), tool_calls=True)

    assert [(call["name"], call["args"]) for call in value["tool_calls"]] \
        == [("get_weather", {"city": "Paris"})]
    sent = json.loads(fake_requests()[-1]["body"])
    assert sent["tools"][0]["function"]["name"] == "get_weather"

    value = same(lambda url: model(url).bind_tools([get_weather]).invoke([
        HumanMessage("hi"),
        AIMessage("", tool_calls=[{"name": "get_weather", "id": "1",
                                   "args": {"city": "Paris"}}]),
        ToolMessage("fine", tool_call_id="1")]))
    assert value["content"] == WORDS


def test_images():
    picture = base64.b64encode(bytes(300)).decode()
    value = same(lambda url: model(url).invoke([HumanMessage([
        {"type": "text", "text": "what?"},
        {"type": "image_url",
         "image_url": f"data:image/png;base64,{picture}"}])]))

    assert value["content"] == WORDS
    assert json.loads(fake_requests()[-1]["body"])["messages"][0]["images"] \
        == [picture]


def test_generate():
    def ask(url):
        llm = OllamaLLM(model="m1", base_url=url)
        return [llm.invoke("hi"), listed(llm.stream("hi"))]

    value = same(ask)
    assert value[0] == "".join(value[1]) == WORDS


def test_embeddings():
    def ask(url):
        return OllamaEmbeddings(model="m1", base_url=url)

    value = same(lambda url: ask(url).embed_documents(["a", "b"]))
    assert len(value) == 2 and isinstance(value[0][0], float)
    assert len(same(lambda url: ask(url).embed_query("a"))) == len(value[0])


def test_it_looks_for_the_model():
    value = same(lambda url: model(url, validate_model_on_init=True)
                 .invoke("hi"))

    assert value["content"] == WORDS
    assert [r["uri"] for r in fake_requests()] == ["/api/tags", "/api/chat"]


# Errors

def test_unknown_model():
    error = same_error(lambda url: ChatOllama(model="nix", base_url=url)
                       .invoke("hi"))
    assert error["error"] == "ResponseError" and error["status"] == 404


@pytest.mark.parametrize("status", [400, 500, 503])
def test_error_of_the_server(status):
    error = same_error(lambda url: model(url).invoke("hi"), status=status,
                       error="no luck today")
    assert error["error"] == "ResponseError" and error["status"] == status
    assert error["text"] == "no luck today"


@pytest.mark.parametrize("ask", [
    lambda url: model(url).invoke("hi"),
    lambda url: listed(model(url).stream("hi")),
    lambda url: OllamaLLM(model="m1", base_url=url).invoke("hi"),
], ids=["invoke", "stream", "generate"])
@pytest.mark.parametrize("settings, without", [
    ({"fault": "die", "after": 2}, "RemoteProtocolError"),
    ({"no_done": True}, None),
], ids=["die", "no last frame"])
def test_cut(ask, settings, without):
    """invoke() streams inside, too."""

    direct, gateway = both(ask, **settings)

    assert direct.get("error") == without
    assert gateway["error"] == "ResponseError"
    assert 'server "127.0.0.1:' in gateway["text"]


@pytest.mark.parametrize("cut", BREAKS)
def test_cut_behind_another_nginx(cut):
    for ask in (lambda url: model(url).invoke("hi"),
                lambda url: listed(model(url).stream("hi"))):
        assert cut_behind(ask, **BREAKS[cut])["error"] == "ResponseError"


@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
def test_abort(url):
    prepare({"frames": 2000, "gap_ms": 10})

    stream = model(url).stream("hi")
    assert next(stream).content == "w0 "
    stream.close()

    assert 1 <= closed()["frames_sent"] < 1000


def test_stop():
    prepare({"frames": 2000, "gap_ms": 10})

    seen = []

    for piece in model(GATEWAY, client_kwargs={
            "headers": {"X-Ollama-Task-Id": "task-2"}}).stream("hi"):
        seen.append(piece)
        if piece.content == "w1 ":
            assert stop("task-2")["cancelled"] is True

    assert "".join(piece.content for piece in seen).startswith("w0 w1 ")
    assert any(piece.response_metadata.get("done_reason") == "cancelled"
               for piece in seen)
    assert closed()["frames_sent"] < 1000
