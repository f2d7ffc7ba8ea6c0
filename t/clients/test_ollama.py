"""PyPI "ollama"."""

import asyncio
import base64
import json

import ollama
import pytest

from both import (BREAKS, DIRECT, GATEWAY, HASTY, MANAGED, alisted, both,
                  closed, cut_behind, each, fake_requests, listed, prepare,
                  same, same_error, stop, stopped)

HI = [{"role": "user", "content": "hi"}]
WORDS = "w0 w1 w2 w3 w4 "
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAA"
    "AAYAAjCB0C8AAAAASUVORK5CYII=")


def client(url, **options):
    return ollama.Client(host=url, **options)


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
      city: its name
    """
    return "fine"


# what is asked of each endpoint that streams: (title, operation)

STREAMS = {
    "chat": lambda url: client(url).chat("m1", HI, stream=True),
    "generate": lambda url: client(url).generate("m1", "hi", stream=True),
}


def text(piece):
    return piece["message"]["content"] if "message" in piece \
        else piece["response"]


def test_chat():
    value = same(lambda url: client(url).chat("m1", HI))

    assert value["message"]["content"] == WORDS
    assert value["message"]["role"] == "assistant"
    assert value["done"] is True and value["done_reason"] == "stop"
    assert value["eval_count"] == 5 and value["prompt_eval_count"] == 10


@pytest.mark.parametrize("title", STREAMS)
def test_stream(title):
    value = same(lambda url: listed(STREAMS[title](url)))

    assert [text(piece) for piece in value] \
        == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 ", ""]
    assert [piece["done"] for piece in value] == [False] * 5 + [True]
    assert value[-1]["eval_count"] == 5


def test_generate():
    value = same(lambda url: client(url).generate(
        "m1", "hi", system="be brief", raw=True,
        options={"temperature": 0, "seed": 1}, keep_alive="5m"))

    assert value["response"] == WORDS and value["done"] is True


def test_long_stream_in_pieces():
    value = same(lambda url: listed(STREAMS["chat"](url)), frames=400,
                 split=97, split_delay_us=0)

    assert "".join(text(piece) for piece in value) \
        == "".join(f"w{i} " for i in range(400))


def test_unicode():
    ask = [{"role": "user", "content": "é 日本 😀 \u2028 \"\\"}]
    value = same(lambda url: listed(client(url).chat("m1", ask, stream=True)),
                 unicode=True)

    assert "日本 😀" in text(value[0])


def test_thinking():
    value = same(lambda url: listed(client(url).chat(
        "m1", HI, stream=True, think=True)), thinking=2)

    assert [piece["message"]["thinking"] for piece in value[:2]] \
        == ["t0 ", "t1 "]
    assert "".join(text(piece) or "" for piece in value) == WORDS

    value = same(lambda url: client(url).chat("m1", HI, think="high"),
                 thinking=2)

    assert value["message"]["thinking"] == "t0 t1 "
    assert value["message"]["content"] == WORDS


@pytest.mark.parametrize("stream", [False, True])
def test_tools(stream):
    def ask(url):
        reply = client(url).chat("m1", HI, tools=[get_weather], stream=stream)
        return listed(reply) if stream else [reply]

    value = same(ask, tool_calls=True)
    calls = [call for piece in value
             for call in piece["message"]["tool_calls"] or []]

    assert [call["function"] for call in calls] \
        == [{"name": "get_weather", "arguments": {"city": "Paris"}}]

    sent = json.loads(fake_requests()[-1]["body"])
    assert sent["tools"][0]["function"]["name"] == "get_weather"

    # and the answer to the call
    value = same(lambda url: client(url).chat("m1", HI + [
        {"role": "assistant", "tool_calls": [{"function": {
            "name": "get_weather", "arguments": {"city": "Paris"}}}]},
        {"role": "tool", "tool_name": "get_weather", "content": "fine"}]))

    assert value["message"]["content"] == WORDS


@pytest.mark.parametrize("size", [len(PNG), 3_000_000])
def test_images(size):
    picture = PNG.ljust(size, b"\0")
    ask = [{"role": "user", "content": "what?", "images": [picture]}]

    assert same(lambda url: client(url).chat("m1", ask)
                )["message"]["content"] == WORDS

    sent = fake_requests()[-1]
    assert sent["body_bytes"] > size * 4 / 3

    if size == len(PNG):
        assert json.loads(sent["body"])["messages"][0]["images"] \
            == [base64.b64encode(PNG).decode()]

    value = same(lambda url: client(url).generate("m1", "what?",
                                                  images=[picture]))
    assert value["response"] == WORDS


def test_format():
    form = {"type": "object", "properties": {"a": {"type": "integer"}}}
    value = same(lambda url: client(url).chat("m1", HI, format=form))

    assert value["message"]["content"] == WORDS
    assert json.loads(fake_requests()[-1]["body"])["format"] == form


def test_embed():
    value = same(lambda url: client(url).embed("m1", ["a", "b"]))

    assert len(value["embeddings"]) == 2
    assert all(isinstance(x, float) for x in value["embeddings"][0])

    value = same(lambda url: client(url).embed("m1", "a", dimensions=4))
    assert len(value["embeddings"]) == 1

    value = same(lambda url: client(url).embeddings("m1", "a"))
    assert len(value["embedding"]) > 1


def test_list():
    value = same(lambda url: client(url).list())
    assert {m["model"] for m in value["models"]} == {"m1:latest", "m2:latest"}


def test_list_in_chunks():
    models = [{"name": f"model-{i}", "size": i} for i in range(200)]
    value = same(lambda url: client(url).list(),
                 server={"models": models, "chunked_json": True})
    assert len(value["models"]) == 200


def test_ps():
    value = same(lambda url: client(url).ps())
    assert [m["model"] for m in value["models"]] == ["m1:latest"]


def test_show():
    value = same(lambda url: client(url).show("m1"))
    assert "completion" in value["capabilities"] and value["details"]


def test_load_and_unload():
    value = same(lambda url: client(url).generate("m1", "", keep_alive=0))
    assert value["done"] is True and value["done_reason"] == "unload"

    value = same(lambda url: client(url).generate("m2"))
    assert value["done_reason"] == "load"


def test_loading_takes_time():
    value = same(lambda url: client(url).chat("m2", HI), load_ms=300)
    assert value["message"]["content"] == WORDS


def test_many_on_one_connection():
    def ask(url):
        c = client(url)
        return [c.list(), c.chat("m1", HI), c.show("m2"),
                listed(c.chat("m1", HI, stream=True)), c.ps(),
                c.embed("m1", "a")]

    value = same(ask)
    assert value[1]["message"]["content"] == WORDS
    assert len(value[3]) == 6


def test_async():
    async def ask(url):
        c = ollama.AsyncClient(host=url)
        try:
            return [await c.list(), await c.ps(), await c.show("m1"),
                    await c.chat("m1", HI), await c.embed("m1", "a"),
                    await alisted(await c.chat("m1", HI, stream=True)),
                    await alisted(await c.generate("m1", "hi", stream=True))]
        finally:
            await c.close()

    value = same(lambda url: asyncio.run(ask(url)))
    assert value[3]["message"]["content"] == WORDS
    assert [text(piece) for piece in value[5]][:2] == ["w0 ", "w1 "]
    assert len(value[6]) == 6


def test_at_the_same_time():
    async def ask(url):
        async with ollama.AsyncClient(host=url) as c:
            return await asyncio.gather(*(one(c, i) for i in range(12)))

    async def one(c, i):
        return await alisted(await c.chat(f"m{i % 2 + 1}", HI, stream=True))

    for url in (DIRECT, GATEWAY):
        prepare({"gap_ms": 5})
        value = asyncio.run(ask(url))

        for i, pieces in enumerate(value):
            assert "".join(p.message.content for p in pieces) == WORDS
            assert {p.model for p in pieces} == {f"m{i % 2 + 1}"}


# Managing

def test_management():
    def manage(url):
        c = client(url)
        return [c.pull("m3"), listed(c.pull("m4", stream=True)),
                c.copy("m1", "m5"), c.list(), c.delete("m5"),
                c.create("m6", from_="m1", system="be brief"), c.push("m6"),
                listed(c.push("m6", stream=True)), c.list()]

    value = same(manage, gateway=MANAGED)

    assert value[0]["status"] == "success"
    assert value[1][-1]["status"] == "success" and len(value[1]) > 1
    assert "m5:latest" in {m["model"] for m in value[3]["models"]}
    assert "m5:latest" not in {m["model"] for m in value[8]["models"]}


def test_blob(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(bytes(range(256)) * 2000)

    # the client sends it in chunks
    value = same(lambda url: client(url).create_blob(path), gateway=MANAGED)
    assert value.startswith("sha256:") and len(value) == 71


@pytest.mark.parametrize("name", ["pull", "push", "create", "delete", "copy"])
def test_management_is_closed(name):
    arguments = ["m1", "m9"] if name == "copy" else ["m1"]
    prepare({})

    with pytest.raises(ollama.ResponseError) as error:
        getattr(client(GATEWAY), name)(*arguments)

    assert error.value.status_code == 403
    assert "management" in error.value.error
    assert fake_requests() == []


# Errors

@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["chat", "generate"])
def test_unknown_model(name, stream):
    def ask(url):
        arguments = ["nix"] + ([HI] if name == "chat" else ["hi"])
        reply = getattr(client(url), name)(*arguments, stream=stream)
        return listed(reply) if stream else reply

    error = same_error(ask)
    assert error["error"] == "ResponseError" and error["status"] == 404
    assert error["text"] == "model 'nix' not found"


def test_unknown_model_elsewhere():
    for ask in (lambda url: client(url).show("nix"),
                lambda url: client(url).embed("nix", "a")):
        error = same_error(ask)
        assert error["error"] == "ResponseError" and error["status"] == 404
        assert "nix" in error["text"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 403, 429, 500, 502, 503, 504])
def test_error_of_the_server(status, stream):
    def ask(url):
        reply = client(url).chat("m1", HI, stream=stream)
        return listed(reply) if stream else reply

    error = same_error(ask, status=status, error="no luck today")
    assert error["error"] == "ResponseError" and error["status"] == status
    assert error["text"] == "no luck today"


@pytest.mark.parametrize("wrong, named", [
    ({"model": "m1", "messages": "hi"}, "messages"),
    ({"model": 1, "messages": HI}, "model"),
    ({"messages": HI}, "model"),
    ([], "object"),
])
def test_bad_request(wrong, named):
    """The gateway's words are its own; the error is the same.

    The client itself checks what its methods are given, so this goes by what
    they call.
    """

    (direct, _), (gateway, asked) = each(
        lambda url: client(url)._request_raw("POST", "/api/chat", json=wrong))

    assert direct["error"] == gateway["error"] == "ResponseError"
    assert gateway["status"] == 400 and direct["status"] in (400, 404)
    assert named in gateway["text"] and asked == []


def test_server_is_away():
    (direct, _), (gateway, _) = each(
        lambda url: client(url).chat("m1", HI), fault="die_before_header")

    assert direct["error"] == "RemoteProtocolError"
    assert gateway["error"] == "ResponseError" and gateway["status"] == 502
    assert "server" in gateway["text"]


def test_no_header_in_time():
    prepare({"fault": "hang"})

    with pytest.raises(ollama.ResponseError) as error:
        client(HASTY).chat("m1", HI)

    assert error.value.status_code == 504
    assert closed()["frames_sent"] == 0


def test_path_outside_the_table():
    """/v1/systemone: neither Ollama 0.17.4 nor the gateway knows it."""

    (direct, _), (gateway, asked) = each(lambda url: client(url).systemone(
        "m1", "a state", {"q": {"type": "noul", "instructions": "is it?"}}))

    assert gateway["error"] == direct["error"] == "ResponseError"
    assert gateway["status"] == direct["status"] == 404
    assert asked == []


# Streams that are cut: with the gateway always an error

CUTS = {
    # what the client raises without the gateway; None: it sees no error
    "die": ({"fault": "die", "after": 2}, "RemoteProtocolError"),
    "reset": ({"fault": "reset", "after": 2}, "ReadError"),
    "mid frame": ({"fault": "die_mid_frame", "after": 2},
                  "RemoteProtocolError"),
    "garbage": ({"fault": "garbage", "after": 2}, "JSONDecodeError"),
    "garbage in a frame": ({"fault": "garbage_mid", "after": 2},
                           "JSONDecodeError"),
    "bad chunk": ({"fault": "bad_chunk", "after": 2}, "RemoteProtocolError"),
    "no last frame": ({"no_done": True}, None),
    "no last frame, HTTP/1.0": ({"no_done": True, "http10": True}, None),
    "HTTP/1.0": ({"fault": "die", "after": 2, "http10": True}, None),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("cut", CUTS)
def test_cut(name, cut):
    settings, without = CUTS[cut]
    direct, gateway = both(lambda url: listed(STREAMS[name](url)), **settings)

    assert direct.get("error") == without

    if cut == "mid frame":
        # it stumbles over the half line, before it sees the last one
        assert gateway["error"] == "JSONDecodeError"
    else:
        assert gateway["error"] == "ResponseError"
        assert gateway["text"].startswith('server "127.0.0.1:')

    # what came before it is what the server sent
    n = 5 if "no_done" in settings else 2
    assert [text(piece) for piece in gateway["seen"]] \
        == [f"w{i} " for i in range(n)]
    assert not any(piece["done"] for piece in gateway["seen"])


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("cut", BREAKS)
def test_cut_behind_another_nginx(name, cut):
    error = cut_behind(lambda url: listed(STREAMS[name](url)), **BREAKS[cut])

    assert error["error"] == "ResponseError"
    assert error["seen"]


@pytest.mark.parametrize("name", STREAMS)
def test_stall(name):
    prepare({"fault": "stall", "after": 2})
    seen = []

    with pytest.raises(ollama.ResponseError, match='server "127.0.0.1:'):
        for piece in STREAMS[name](HASTY):
            seen.append(text(piece))

    assert seen == ["w0 ", "w1 "]
    assert closed()["frames_sent"] == 2


def test_cut_async():
    async def ask(url):
        async with ollama.AsyncClient(host=url) as c:
            return await alisted(await c.chat("m1", HI, stream=True))

    direct, gateway = both(lambda url: asyncio.run(ask(url)), fault="die",
                           after=2)
    assert direct["error"] == "RemoteProtocolError"
    assert gateway["error"] == "ResponseError" and len(gateway["seen"]) == 2


def test_the_servers_error_line():
    direct, gateway = both(lambda url: listed(STREAMS["chat"](url)),
                           error_line_after=2)

    assert gateway == direct
    assert gateway["error"] == "ResponseError" and len(gateway["seen"]) == 2
    assert "server \"127" not in gateway["text"]


def test_cut_after_the_end():
    """All came, only the end of the chunks is missing: mended."""

    direct, gateway = both(lambda url: listed(STREAMS["chat"](url)),
                           fault="die_after_done")

    assert direct["error"] == "RemoteProtocolError"
    assert len(gateway["value"]) == 6 and gateway["value"][-1]["done"]


@pytest.mark.parametrize("fault", ["die", "reset", "short_length"])
def test_cut_answer(fault):
    """One that is no stream is cut off as well, before its end."""

    direct, gateway = both(lambda url: client(url).chat("m1", HI),
                           fault=fault)

    assert "error" in direct

    if fault == "short_length":
        # its object is whole
        assert gateway["value"]["message"]["content"] == WORDS
    else:
        assert gateway["error"] in ("RemoteProtocolError", "ResponseError",
                                    "JSONDecodeError")


# Leaving

@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
@pytest.mark.parametrize("name", STREAMS)
def test_abort(name, url):
    prepare({"frames": 2000, "gap_ms": 10})

    stream = STREAMS[name](url)
    assert [text(next(stream)), text(next(stream))] == ["w0 ", "w1 "]
    stream.close()

    assert 2 <= closed()["frames_sent"] < 1000


@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
def test_abort_before_the_first_word(url):
    prepare({"ttft_ms": 60_000})

    with pytest.raises(Exception) as error:
        client(url, timeout=0.4).chat("m1", HI)

    assert type(error.value).__name__ == "ReadTimeout"
    assert closed()["frames_sent"] == 0


@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
def test_abort_async(url):
    prepare({"frames": 2000, "gap_ms": 10})

    async def ask():
        c = ollama.AsyncClient(host=url)
        async for piece in await c.chat("m1", HI, stream=True):
            if piece.message.content == "w3 ":
                await asyncio.sleep(60)

    async def cancelled():
        await asyncio.wait_for(ask(), 0.5)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(cancelled())

    assert 4 <= closed()["frames_sent"] < 1000


# The gateway's own

def test_fields_of_the_gateway():
    prepare({})
    c = client(GATEWAY, headers={"Authorization": "Bearer secret",
                                 "X-Ollama-Task-Id": "task-1"})

    reply = c.chat("m1", HI)
    assert reply.message.content == WORDS

    sent = fake_requests()[-1]
    assert "secret" not in json.dumps(sent)
    assert "task-1" not in json.dumps(sent)


# Stop: the stream ends as every good one does

def named(task):
    return client(GATEWAY, headers={"X-Ollama-Task-Id": task})


@pytest.mark.parametrize("name", ["chat", "generate"])
def test_stop(name):
    prepare({"frames": 2000, "gap_ms": 10})

    c = named("task-2")
    stream = c.chat("m1", HI, stream=True) if name == "chat" \
        else c.generate("m1", "hi", stream=True)

    assert [text(next(stream)), text(next(stream))] == ["w0 ", "w1 "]
    assert stop("task-2") == {"cancelled": True, "task_id": "task-2",
                              "session_id": None}

    *pieces, last = listed(stream)
    assert not any(piece.done for piece in pieces)
    assert last.done is True and last.done_reason == "cancelled"
    assert text(last) == "" and last.model == "m1"
    assert 2 <= closed()["frames_sent"] < 1000


@pytest.mark.parametrize("name", ["chat", "generate"])
def test_stop_before_the_first_word(name):
    c = named("task-3")
    value = stopped(lambda: c.chat("m1", HI) if name == "chat"
                    else c.generate("m1", "hi"), "task-3", ttft_ms=60_000)

    assert value.done is True and value.done_reason == "cancelled"
    assert text(value) == ""
    assert closed()["frames_sent"] == 0


def test_stop_async():
    prepare({"frames": 2000, "gap_ms": 10})

    async def ask():
        c = ollama.AsyncClient(host=GATEWAY,
                               headers={"X-Ollama-Task-Id": "task-4"})
        seen = []

        async for piece in await c.chat("m1", HI, stream=True):
            seen.append(piece)
            if piece.message.content == "w3 ":
                await asyncio.to_thread(stop, "task-4")

        return seen

    seen = asyncio.run(ask())
    assert seen[-1].done_reason == "cancelled"
    assert sum(piece.done is True for piece in seen) == 1
