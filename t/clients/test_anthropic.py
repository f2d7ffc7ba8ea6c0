"""PyPI "anthropic"."""

import asyncio
import json

import anthropic
import pytest

from both import (BREAKS, DIRECT, GATEWAY, HASTY, PROXIED, alisted, both,
                  closed, cut_behind, each, fake_requests, listed, outcome,
                  plain, prepare, same, same_error, stop, stopped)

HI = [{"role": "user", "content": "hi"}]
WORDS = "w0 w1 w2 w3 w4 "
TOOL = {"name": "get_weather", "description": "the weather in a city",
        "input_schema": {"type": "object", "required": ["city"],
                         "properties": {"city": {"type": "string"}}}}
NAMED = {"X-Ollama-Task-Id": "task-2"}


def client(url, **options):
    return anthropic.Anthropic(base_url=url, api_key="secret",
                               **{"max_retries": 0, **options})


def ask(url, **options):
    return client(url).messages.create(**{
        "model": "m1", "max_tokens": 100, "messages": HI, **options})


def words(events):
    return "".join(event["delta"].get("text") or "" for event in events
                   if event["type"] == "content_block_delta")


def test_message():
    value = same(ask)

    assert value["content"][0]["text"] == WORDS
    assert value["stop_reason"] == "end_turn"
    assert value["usage"]["input_tokens"] == 10
    assert value["usage"]["output_tokens"] == 5


def test_stream():
    value = same(lambda url: listed(ask(url, stream=True)))

    assert words(value) == WORDS
    assert value[0]["type"] == "message_start"
    assert [event["type"] for event in value[-2:]] \
        == ["message_delta", "message_stop"]
    assert value[-2]["delta"]["stop_reason"] == "end_turn"


def test_stream_helper():
    def helped(url):
        with client(url).messages.stream(model="m1", max_tokens=100,
                                         messages=HI) as stream:
            return list(stream.text_stream), stream.get_final_message()

    pieces, value = same(helped)
    assert pieces == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]
    assert value["content"][0]["text"] == WORDS
    assert value["stop_reason"] == "end_turn"


def test_long_stream_in_pieces():
    value = same(lambda url: listed(ask(url, stream=True)),
                 frames=300, split=97, split_delay_us=0)

    assert words(value) == "".join(f"w{i} " for i in range(300))


def test_thinking():
    value = same(ask, thinking=2)
    assert [block["type"] for block in value["content"]] \
        == ["thinking", "text"]

    value = same(lambda url: listed(ask(url, stream=True)), thinking=2)
    assert [event["content_block"]["type"] for event in value
            if event["type"] == "content_block_start"] == ["thinking", "text"]
    assert words(value) == WORDS


@pytest.mark.parametrize("stream", [False, True])
def test_tools(stream):
    """A call, and what the tool returned."""

    def turn(url, messages):
        if not stream:
            return ask(url, tools=[TOOL], messages=messages)

        with client(url).messages.stream(
                model="m1", max_tokens=100, tools=[TOOL],
                messages=messages) as events:
            return events.get_final_message()

    def talk(url):
        first = turn(url, HI)
        call = first.content[-1]
        second = turn(url, HI + [
            {"role": "assistant", "content": plain(first)["content"]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": call.id,
                 "content": "fine"}]}])

        return first, second

    first, second = same(talk, tool_calls=True, tool_once=True)

    assert first["stop_reason"] == "tool_use"
    assert first["content"][-1]["name"] == "get_weather"
    assert first["content"][-1]["input"] == {"city": "Paris"}
    assert second["stop_reason"] == "end_turn"
    assert second["content"][0]["text"] == WORDS
    assert json.loads(fake_requests()[-1]["body"])["tools"] == [TOOL]


def test_async():
    async def asked(url):
        async with anthropic.AsyncAnthropic(base_url=url, api_key="x",
                                            max_retries=0) as c:
            options = {"model": "m1", "max_tokens": 100, "messages": HI}
            return [await c.messages.create(**options),
                    await alisted(await c.messages.create(stream=True,
                                                          **options))]

    value = same(lambda url: asyncio.run(asked(url)))
    assert value[0]["content"][0]["text"] == words(value[1]) == WORDS


def test_models():
    def names(url):
        return [model.id for model in client(url).models.list()]

    direct, gateway = (value for value, _ in each(names))
    assert sorted(gateway["value"]) == sorted(direct["value"]) \
        == ["m1:latest", "m2:latest"]


# Errors

def refused(url, **options):
    """The class, the status and the error of Anthropic's form."""

    with pytest.raises(anthropic.APIStatusError) as raised:
        listed([ask(url, **options)])

    body = raised.value.body

    assert body["type"] == "error" and isinstance(body["request_id"], str)

    return (type(raised.value).__name__, raised.value.status_code,
            body["error"]["type"], body["error"]["message"])


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model(stream):
    for url in (DIRECT, GATEWAY):
        prepare({})
        assert refused(url, model="nix", stream=stream) \
            == ("NotFoundError", 404, "not_found_error",
                "model 'nix' not found")


KINDS = {400: "BadRequestError", 403: "PermissionDeniedError",
         429: "RateLimitError", 500: "InternalServerError",
         503: "ServiceUnavailableError"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", KINDS)
def test_error_of_the_server(status, stream):
    said = []

    for url in (DIRECT, GATEWAY):
        prepare({"status": status, "error": "no luck today"})
        said.append(refused(url, stream=stream))

    assert said[0] == said[1]
    assert said[1][:2] == (KINDS[status], status)
    assert said[1][3] == "no luck today"


def test_bad_request():
    prepare({})
    name, status, kind, text = refused(GATEWAY, model=1)

    assert (name, status, kind) == ("BadRequestError", 400,
                                    "invalid_request_error")
    assert "model" in text and "byte" in text
    assert fake_requests() == []


def test_server_is_away():
    prepare({"fault": "die_before_header"})

    assert refused(GATEWAY)[:3] == ("InternalServerError", 502, "api_error")


def test_no_header_in_time():
    prepare({"fault": "hang"})

    # its own class for 504 is newer than most
    assert refused(HASTY)[1] == 504
    assert closed()["frames_sent"] == 0


def test_it_tries_again():
    error = same_error(lambda url: client(url, max_retries=1).messages.create(
        model="m1", max_tokens=100, messages=HI), status=503)

    assert error["status"] == 503
    assert len(fake_requests()) == 2


# Streams that are cut: with the gateway always an error

DIRECTLY = {**BREAKS,
            "bad chunk": {"fault": "bad_chunk", "after": 2},
            "HTTP/1.0": {"fault": "die", "after": 2, "http10": True}}


def helped(url):
    """What gathers the pieces: it must not give a half message."""

    with client(url).messages.stream(model="m1", max_tokens=100,
                                     messages=HI) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("cut", DIRECTLY)
def test_cut(cut):
    _, gateway = both(lambda url: listed(ask(url, stream=True)),
                      **DIRECTLY[cut])

    assert issubclass(getattr(anthropic, gateway["error"]),
                      anthropic.APIError)
    assert 'server "127.0.0.1:' in gateway["text"]
    assert words(gateway["seen"]).startswith("w0 ")
    assert gateway["seen"][-1]["type"] != "message_stop"


@pytest.mark.parametrize("cut", DIRECTLY)
def test_cut_with_the_helper(cut):
    prepare(DIRECTLY[cut])

    result = outcome(helped, GATEWAY)
    assert 'server "127.0.0.1:' in result["text"]


@pytest.mark.parametrize("way", ["stream", "helper"])
@pytest.mark.parametrize("cut", BREAKS)
def test_cut_behind_another_nginx(cut, way):
    result = cut_behind(
        helped if way == "helper"
        else lambda url: listed(ask(url, stream=True)), **BREAKS[cut])

    assert issubclass(getattr(anthropic, result["error"]),
                      anthropic.APIError)


def test_cut_amid_an_event():
    for url in (GATEWAY, PROXIED):
        prepare({"fault": "die_mid_frame", "after": 2})
        assert "error" in outcome(helped, url)


def test_stall():
    prepare({"fault": "stall", "after": 2})

    with pytest.raises(anthropic.APIError, match='server "127.0.0.1:'):
        list(ask(HASTY, stream=True))


@pytest.mark.parametrize("fault", ["die", "reset"])
def test_cut_answer(fault):
    direct, gateway = both(ask, fault=fault)

    assert "error" in direct and "error" in gateway


# Leaving

@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
def test_abort(url):
    prepare({"frames": 2000, "gap_ms": 10})

    stream = ask(url, stream=True)

    for event in stream:
        if words([event.model_dump()]) == "w1 ":
            break

    stream.close()
    assert 2 <= closed()["frames_sent"] < 1000


# The gateway's own

def test_fields_of_the_gateway():
    prepare({})

    raw = client(GATEWAY).messages.with_raw_response.create(
        model="m1", max_tokens=100, messages=HI, extra_headers=NAMED)

    assert raw.parse().content[0].text == WORDS
    assert raw.headers["x-ollama-server"] == DIRECT.split("//")[1]
    assert raw.headers["x-ollama-task-id"] == "task-2"

    # the key, too, is in a header
    sent = json.dumps(fake_requests()[-1])
    for word in ("task-2", "secret"):
        assert word not in sent


# Stop: the stream ends as every good one does

def whole(events):
    """The events are those of a message that ended."""

    assert [event["type"] for event in events[-2:]] \
        == ["message_delta", "message_stop"]
    assert events[-2]["delta"]["stop_reason"] == "end_turn"

    for what in ("content_block_start", "content_block_stop"):
        yield [event["index"] for event in events if event["type"] == what]


@pytest.mark.parametrize("url", [GATEWAY, PROXIED],
                         ids=["gateway", "behind another nginx"])
def test_stop(url):
    prepare({"frames": 2000, "gap_ms": 10})
    seen = []

    for event in ask(url, stream=True, extra_headers=NAMED):
        seen.append(event.model_dump())
        if words(seen[-1:]) == "w1 ":
            assert stop("task-2")["cancelled"] is True

    assert words(seen).startswith("w0 w1 ")
    assert 2 <= closed()["frames_sent"] < 1000

    began, ended = whole(seen)
    assert began == ended == [0]


def test_stop_with_the_helper():
    prepare({"frames": 2000, "gap_ms": 10})

    with client(GATEWAY).messages.stream(
            model="m1", max_tokens=100, messages=HI,
            extra_headers=NAMED) as stream:
        for text in stream.text_stream:
            if text == "w1 ":
                assert stop("task-2")["cancelled"] is True

        value = stream.get_final_message()

    assert value.content[0].text.startswith("w0 w1 ")
    assert value.stop_reason == "end_turn"


def test_stop_before_the_first_word():
    value = stopped(lambda: ask(GATEWAY, extra_headers=NAMED), "task-2",
                    ttft_ms=60_000)

    assert value.type == "message" and value.stop_reason == "end_turn"
    assert value.usage.output_tokens == 0

    seen = plain(stopped(
        lambda: listed(ask(GATEWAY, stream=True, extra_headers=NAMED)),
        "task-2", ttft_ms=60_000))

    assert seen[0]["type"] == "message_start"
    began, ended = whole(seen)
    assert began == ended

    value = stopped(
        lambda: client(GATEWAY).messages.stream(
            model="m1", max_tokens=100, messages=HI,
            extra_headers=NAMED).__enter__().get_final_message(),
        "task-2", ttft_ms=60_000)

    assert value.stop_reason == "end_turn"
    assert closed()["frames_sent"] == 0
