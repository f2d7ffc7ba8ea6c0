"""PyPI "openai"."""

import asyncio
import base64
import json

import openai
import pytest

from both import (BREAKS, DIRECT, GATEWAY, HASTY, alisted, both, closed,
                  cut_behind, each, fake_requests, listed, prepare, same,
                  same_error, stop, stopped)

HI = [{"role": "user", "content": "hi"}]
WORDS = "w0 w1 w2 w3 w4 "
TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "the weather in a city",
    "parameters": {"type": "object", "required": ["city"],
                   "properties": {"city": {"type": "string"}}}}}


def client(url, **options):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="secret",
                         **{"max_retries": 0, **options})


def chat(url, **options):
    return client(url).chat.completions.create(model="m1", messages=HI,
                                               **options)


def completions(url, **options):
    return client(url).completions.create(model="m1", prompt="hi", **options)


def responses(url, **options):
    return client(url).responses.create(model="m1", input="hi", **options)


FORMS = {"chat": chat, "completions": completions, "responses": responses}


def text(piece):
    """The words in a piece of any stream."""

    if "choices" not in piece:
        return piece["delta"] \
            if piece["type"] == "response.output_text.delta" else ""

    return "".join(choice["delta"]["content"] or "" if "delta" in choice
                   else choice["text"] for choice in piece["choices"])


def words(pieces):
    return "".join(text(piece) for piece in pieces)


def test_chat():
    value = same(chat)
    choice = value["choices"][0]

    assert choice["message"]["content"] == WORDS
    assert choice["finish_reason"] == "stop"
    assert value["usage"] == {**value["usage"], "prompt_tokens": 10,
                              "completion_tokens": 5, "total_tokens": 15}


def test_completions():
    assert same(completions)["choices"][0]["text"] == WORDS


def test_responses():
    value = same(responses)

    assert value["status"] == "completed"
    assert value["output"][-1]["content"][0]["text"] == WORDS


@pytest.mark.parametrize("form", FORMS)
def test_stream(form):
    value = same(lambda url: listed(FORMS[form](url, stream=True)))

    assert words(value) == WORDS
    assert [text(piece) for piece in value if text(piece)] \
        == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]

    if form == "responses":
        assert value[0]["type"] == "response.created"
        assert value[-1]["type"] == "response.completed"
    else:
        assert value[-1]["choices"][0]["finish_reason"] == "stop"


def test_usage_in_a_stream():
    value = same(lambda url: listed(chat(
        url, stream=True, stream_options={"include_usage": True})))

    assert value[-1]["usage"]["completion_tokens"] == 5
    assert words(value) == WORDS


@pytest.mark.parametrize("form", FORMS)
def test_long_stream_in_pieces(form):
    value = same(lambda url: listed(FORMS[form](url, stream=True)),
                 frames=300, split=97, split_delay_us=0)

    assert words(value) == "".join(f"w{i} " for i in range(300))


def test_unicode():
    value = same(lambda url: listed(chat(url, stream=True)), unicode=True)
    assert "日本 😀" in words(value)


def test_stream_helper():
    def ask(url):
        with client(url).chat.completions.stream(model="m1",
                                                 messages=HI) as stream:
            kinds = [event.type for event in stream]
            return kinds, stream.get_final_completion()

    kinds, value = same(ask)
    assert "content.delta" in kinds
    assert value["choices"][0]["message"]["content"] == WORDS


def test_thinking():
    value = same(lambda url: chat(url, reasoning_effort="high"), thinking=2)
    assert value["choices"][0]["message"]["reasoning"] == "t0 t1 "

    value = same(lambda url: listed(chat(url, stream=True)), thinking=2)
    assert [piece["choices"][0]["delta"].get("reasoning")
            for piece in value[:2]] == ["t0 ", "t1 "]
    assert words(value) == WORDS


@pytest.mark.parametrize("stream", [False, True])
def test_tools(stream):
    def ask(url):
        reply = chat(url, tools=[TOOL], stream=stream)
        return listed(reply) if stream else [reply]

    value = same(ask, tool_calls=True)
    calls = [call for piece in value for choice in piece["choices"]
             for call in choice["delta" if stream else "message"]
             .get("tool_calls") or []]

    assert len(calls) == 1
    assert calls[0]["function"]["name"] == "get_weather"
    assert json.loads(calls[0]["function"]["arguments"]) == {"city": "Paris"}
    assert any(choice["finish_reason"] == "tool_calls"
               for piece in value for choice in piece["choices"])
    assert json.loads(fake_requests()[-1]["body"])["tools"] == [TOOL]


@pytest.mark.parametrize("size", [70, 3_000_000])
def test_images(size):
    picture = base64.b64encode(bytes(size)).decode()
    ask = [{"role": "user", "content": [
        {"type": "text", "text": "what?"},
        {"type": "image_url",
         "image_url": {"url": f"data:image/png;base64,{picture}"}}]}]

    value = same(lambda url: client(url).chat.completions.create(
        model="m1", messages=ask))

    assert value["choices"][0]["message"]["content"] == WORDS
    assert fake_requests()[-1]["body_bytes"] > size * 4 / 3


@pytest.mark.parametrize("format", ["float", "base64"])
def test_embeddings(format):
    value = same(lambda url: client(url).embeddings.create(
        model="m1", input=["a", "b"], encoding_format=format))

    assert len(value["data"]) == 2 and value["data"][1]["index"] == 1
    assert len(value["data"][0]["embedding"]) > 1


def test_embeddings_as_the_client_likes():
    value = same(lambda url: client(url).embeddings.create(model="m1",
                                                           input="a"))
    assert all(isinstance(x, float) for x in value["data"][0]["embedding"])


def test_models():
    # their ids are the names here
    def ask(url):
        return sorted(model.id for model in client(url).models.list())

    assert same(ask) == ["m1:latest", "m2:latest"]


@pytest.mark.parametrize("name", ["m1", "m2:latest"])
def test_model(name):
    def ask(url):
        model = client(url).models.retrieve(name)
        return [model.id, model.object, model.owned_by]

    assert same(ask)[:2] == [name, "model"]


def test_model_with_slashes():
    """The client sends them as they are, or as %2F: neither server nor
    gateway makes more of it than the other."""

    def ask(url):
        return client(url).models.retrieve("hf.co/a/b:Q4").id

    (direct, _), (gateway, _) = each(
        ask, server={"models": [{"name": "hf.co/a/b:Q4"}]})

    assert gateway == direct


def test_async():
    async def ask(url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x",
                                      max_retries=0) as c:
            return [await c.chat.completions.create(model="m1", messages=HI),
                    await alisted(await c.chat.completions.create(
                        model="m1", messages=HI, stream=True)),
                    await alisted(await c.responses.create(
                        model="m1", input="hi", stream=True)),
                    await c.embeddings.create(model="m1", input="a")]

    value = same(lambda url: asyncio.run(ask(url)))
    assert value[0]["choices"][0]["message"]["content"] == WORDS
    assert words(value[1]) == words(value[2]) == WORDS


def test_many_on_one_connection():
    def ask(url):
        c = client(url)
        return [listed(c.chat.completions.create(model="m1", messages=HI,
                                                 stream=True))
                for _ in range(5)]

    assert [words(pieces) for pieces in same(ask)] == [WORDS] * 5


# Errors

@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_unknown_model(form, stream):
    def ask(url):
        create = {"chat": client(url).chat.completions,
                  "completions": client(url).completions,
                  "responses": client(url).responses}[form].create
        extra = {"messages": HI} if form == "chat" else \
            {"prompt": "hi"} if form == "completions" else {"input": "hi"}
        return create(model="nix", stream=stream, **extra)

    error = same_error(ask)
    assert error["error"] == "NotFoundError" and error["status"] == 404
    assert "nix" in error["text"]


def test_unknown_model_elsewhere():
    for ask in (lambda url: client(url).embeddings.create(model="nix",
                                                          input="a"),
                lambda url: client(url).models.retrieve("nix")):
        assert same_error(ask)["error"] == "NotFoundError"


KINDS = {400: "BadRequestError", 403: "PermissionDeniedError",
         429: "RateLimitError", 500: "InternalServerError",
         503: "InternalServerError"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", KINDS)
def test_error_of_the_server(status, stream):
    error = same_error(lambda url: chat(url, stream=stream), status=status,
                       error="no luck today")

    assert error["error"] == KINDS[status] and error["status"] == status
    assert "no luck today" in error["text"]


def test_it_tries_again():
    """By itself, after a 503: as often as without the gateway."""

    error = same_error(lambda url: client(url, max_retries=1)
                       .chat.completions.create(model="m1", messages=HI),
                       status=503, error="busy")

    assert error["status"] == 503
    assert len(fake_requests()) == 2


@pytest.mark.parametrize("wrong, named", [
    ({"model": "m1", "messages": "hi"}, "messages"),
    ({"model": 1, "messages": HI}, "model"),
])
def test_bad_request(wrong, named):
    (direct, _), (gateway, asked) = each(
        lambda url: client(url).chat.completions.create(**wrong))

    assert direct["error"] == gateway["error"] == "BadRequestError"
    assert named in gateway["text"] and asked == []


def test_error_has_its_parts():
    prepare({})

    with pytest.raises(openai.BadRequestError) as error:
        client(GATEWAY).chat.completions.create(model=1, messages=HI)

    assert error.value.type == "invalid_request_error"
    assert "byte" in error.value.message


def test_server_is_away():
    (direct, _), (gateway, _) = each(chat, fault="die_before_header")

    assert direct["error"] == "APIConnectionError"
    assert gateway["error"] == "InternalServerError"
    assert gateway["status"] == 502


def test_no_header_in_time():
    prepare({"fault": "hang"})

    with pytest.raises(openai.InternalServerError) as error:
        chat(HASTY)

    assert error.value.status_code == 504
    assert closed()["frames_sent"] == 0


OUTSIDE = {
    "/v1/moderations": lambda c: c.moderations.create(input="hi"),
    "/v1/files": lambda c: c.files.list(),
    "/v1/audio/speech": lambda c: c.audio.speech.create(
        input="hi", model="m1", voice="alloy"),
    "/v1/batches": lambda c: c.batches.list(),
    "/v1/fine_tuning/jobs": lambda c: c.fine_tuning.jobs.list(),
    "/v1/responses/{id}": lambda c: c.responses.retrieve("resp_1"),
    "/v1/chat/completions/{id}": lambda c: c.chat.completions.retrieve("x"),
    "DELETE /v1/models/{id}": lambda c: c.models.delete("m1"),
}


@pytest.mark.parametrize("path", OUTSIDE)
def test_path_outside_the_table(path):
    """OpenAI has it, Ollama has not: the same class of error, and no server
    is asked."""

    (direct, _), (gateway, asked) = each(lambda url: OUTSIDE[path](
        client(url)))

    # of a path that is known, the method isn't
    status = 405 if path.startswith("DELETE") else 404

    assert gateway["error"] == direct["error"]
    assert gateway["status"] == direct["status"] == status
    assert asked == []


# Streams that are cut: with the gateway always an error

CUTS = {
    # what the client raises without the gateway; None: it sees no error
    "die": ({"fault": "die", "after": 2}, "APIConnectionError"),
    "reset": ({"fault": "reset", "after": 2}, "APIConnectionError"),
    "mid frame": ({"fault": "die_mid_frame", "after": 2},
                  "APIConnectionError"),
    "bad chunk": ({"fault": "bad_chunk", "after": 2}, "APIConnectionError"),
    "no last frame": ({"no_done": True}, None),
    "HTTP/1.0": ({"fault": "die", "after": 2, "http10": True}, None),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", CUTS)
def test_cut(form, cut):
    settings, without = CUTS[cut]
    direct, gateway = both(
        lambda url: listed(FORMS[form](url, stream=True)), **settings)

    assert direct.get("error") == without

    if cut == "mid frame":
        # it stumbles over the half event, before it sees the last one
        assert gateway["error"] == "JSONDecodeError"
    else:
        assert gateway["error"] == "APIError"
        assert 'server "127.0.0.1:' in gateway["text"]

    n = 5 if "no_done" in settings else 2
    assert words(gateway["seen"]).startswith("w0 ")
    assert f"w{n}" not in words(gateway["seen"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", BREAKS)
def test_cut_behind_another_nginx(form, cut):
    error = cut_behind(lambda url: listed(FORMS[form](url, stream=True)),
                       **BREAKS[cut])

    assert error["error"] == "APIError"
    assert words(error["seen"]).startswith("w0 ")


@pytest.mark.parametrize("cut", BREAKS)
def test_cut_behind_another_nginx_with_the_helpers(cut):
    """What gathers the pieces does not give a half text."""

    def gathered(url):
        with client(url).chat.completions.stream(model="m1",
                                                 messages=HI) as stream:
            return stream.get_final_completion()

    def responded(url):
        with client(url).responses.stream(model="m1", input="hi") as stream:
            return stream.get_final_response()

    for ask in (gathered, responded):
        cut_behind(ask, **BREAKS[cut])


@pytest.mark.parametrize("form", FORMS)
def test_stall(form):
    prepare({"fault": "stall", "after": 2})

    with pytest.raises(openai.APIError, match='server "127.0.0.1:'):
        list(FORMS[form](HASTY, stream=True))


def test_cut_async():
    async def ask(url):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x",
                                      max_retries=0) as c:
            return await alisted(await c.chat.completions.create(
                model="m1", messages=HI, stream=True))

    direct, gateway = both(lambda url: asyncio.run(ask(url)), fault="die",
                           after=2)
    assert direct["error"] == "APIConnectionError"
    assert gateway["error"] == "APIError"
    assert words(gateway["seen"]) == "w0 w1 "


@pytest.mark.parametrize("form", FORMS)
def test_cut_after_the_end(form):
    direct, gateway = both(
        lambda url: listed(FORMS[form](url, stream=True)),
        fault="die_after_done")

    assert words(gateway["value"]) == WORDS


@pytest.mark.parametrize("fault", ["die", "reset"])
def test_cut_answer(fault):
    direct, gateway = both(chat, fault=fault)

    assert "error" in direct and "error" in gateway


# Leaving

@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
@pytest.mark.parametrize("form", FORMS)
def test_abort(form, url):
    prepare({"frames": 2000, "gap_ms": 10})

    stream = FORMS[form](url, stream=True)
    seen = ""

    for piece in stream:
        seen += text(piece.model_dump())

        if "w1 " in seen:
            break

    stream.close()
    assert 2 <= closed()["frames_sent"] < 1000


@pytest.mark.parametrize("url", [DIRECT, GATEWAY], ids=["direct", "gateway"])
def test_abort_before_the_first_word(url):
    prepare({"ttft_ms": 60_000})

    with pytest.raises(openai.APITimeoutError):
        client(url, timeout=0.4).chat.completions.create(model="m1",
                                                         messages=HI)

    assert closed()["frames_sent"] == 0


# The gateway's own

def test_fields_of_the_gateway():
    prepare({})

    raw = client(GATEWAY).chat.completions.with_raw_response.create(
        model="m1", messages=HI, extra_body={"task_id": "mine"},
        extra_headers={"X-Ollama-Task-Id": "task-1"})

    assert raw.parse().choices[0].message.content == WORDS
    assert raw.headers["x-ollama-task-id"] == "task-1"
    assert raw.headers["x-ollama-server"] == DIRECT.split("//")[1]

    sent = json.dumps(fake_requests()[-1])
    assert "mine" in sent      # a body is the client's own
    for word in ("task-1", "secret"):
        assert word not in sent


# Stop: the stream ends as every good one does

NAMED = {"X-Ollama-Task-Id": "task-2"}


@pytest.mark.parametrize("form", FORMS)
def test_stop(form):
    prepare({"frames": 2000, "gap_ms": 10})

    seen = []

    for piece in FORMS[form](GATEWAY, stream=True, extra_headers=NAMED):
        seen.append(piece.model_dump())
        if text(seen[-1]) == "w1 ":
            assert stop("task-2")["cancelled"] is True

    assert words(seen).startswith("w0 w1 ")
    assert 2 <= closed()["frames_sent"] < 1000

    if form == "responses":
        assert seen[-1]["type"] == "response.incomplete"
        assert seen[-1]["response"]["status"] == "incomplete"
        assert [piece["sequence_number"] for piece in seen] \
            == list(range(len(seen)))
    else:
        assert seen[-1]["choices"][0]["finish_reason"] == "stop"
        assert not any(piece["choices"][0]["finish_reason"]
                       for piece in seen[:-1])


@pytest.mark.parametrize("form", FORMS)
def test_stop_before_the_first_word(form):
    value = stopped(lambda: FORMS[form](GATEWAY, extra_headers=NAMED),
                    "task-2", ttft_ms=60_000)

    if form == "responses":
        assert value.status == "incomplete" and value.output_text == ""
    else:
        assert value.choices[0].finish_reason == "stop"
        assert value.usage.total_tokens == 0

    assert closed()["frames_sent"] == 0


def test_stop_with_the_helper():
    """What gathers the pieces of a stream is content with the last one."""

    prepare({"frames": 2000, "gap_ms": 10})

    with client(GATEWAY).chat.completions.stream(
            model="m1", messages=HI, extra_headers=NAMED) as stream:
        for event in stream:
            if event.type == "content.delta" and event.delta == "w1 ":
                assert stop("task-2")["cancelled"] is True

        value = stream.get_final_completion()

    assert value.choices[0].finish_reason == "stop"
    assert value.choices[0].message.content.startswith("w0 w1 ")


def test_stop_with_the_helper_of_responses():
    prepare({"frames": 2000, "gap_ms": 10})

    seen = []

    with client(GATEWAY).responses.stream(
            model="m1", input="hi", extra_headers=NAMED) as stream:
        for event in stream:
            seen.append(event.type)
            if event.type == "response.output_text.delta" \
                    and event.delta == "w1 ":
                assert stop("task-2")["cancelled"] is True

    assert seen[-1] == "response.incomplete"
