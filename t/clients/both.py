"""Runs an operation of a client twice, against the server and through nginx.

    def chat(url):
        return ollama.Client(host=url).chat(model="m1", messages=hi)

    direct, gateway = both(chat, frames=3)

Before each the server is reset and told the settings.  The outcomes are plain
data: {"value": ...}, or {"error": name of the class, "status", "text"}, with
"seen", the pieces that a stream had given before.  Ids and times are gone.
"""

import concurrent.futures
import json
import os
import time
import urllib.parse
import urllib.request

DIRECT = os.environ["CLIENTS_DIRECT"]
CONTROL = os.environ["CLIENTS_CONTROL"]     # of the server
GATEWAY = os.environ["CLIENTS_GATEWAY"]
MANAGED = os.environ["CLIENTS_MANAGED"]     # with ollama_management on
HASTY = os.environ["CLIENTS_HASTY"]         # gives up a silent server soon
PROXIED = os.environ["CLIENTS_PROXIED"]     # a second nginx before the gateway

VOLATILE = {"id", "created", "created_at", "completed_at", "modified_at",
            "expires_at", "item_id", "system_fingerprint", "run_id"}

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


# The stand-in server, see t/fake/README.md

def fake(path, body=None, /, **arguments):
    query = "?" + urllib.parse.urlencode(arguments) if arguments else ""
    data = None if body is None else json.dumps(body).encode()

    with _open(f"{CONTROL}/fake/{path}{query}", data, timeout=15) as reply:
        text = reply.read()

    return json.loads(text) if text.strip() else {}


def fake_requests(**arguments):
    record = fake("requests", **arguments)
    assert not record.get("timed_out"), f"never came true: {arguments}"
    return record["requests"]


def prepare(settings, server=None):
    fake("reset", {})

    if settings or server:
        # models of the list that have no settings of their own have these
        fake("set", {"model": "*", **settings,
                     **({"server": server} if server else {})})


# Outcomes

def plain(value):
    """Without classes, ids and times; that there was one stays."""

    if hasattr(value, "model_dump"):
        value = value.model_dump()

    if isinstance(value, dict):
        return {key: type(item).__name__
                if key in VOLATILE or key.endswith("_duration")
                else plain(item) for key, item in value.items()}

    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]

    return value


class Cut(Exception):
    """A stream's error, with what came before."""

    def __init__(self, seen, cause):
        super().__init__(str(cause))
        self.seen, self.cause = seen, cause


def listed(stream):
    """All pieces of a stream; an error keeps those that came before it."""

    seen = []

    try:
        for piece in stream:
            seen.append(piece)
    except Exception as error:
        raise Cut(seen, error) from error

    return seen


async def alisted(stream):
    seen = []

    try:
        async for piece in stream:
            seen.append(piece)
    except Exception as error:
        raise Cut(seen, error) from error

    return seen


def outcome(operation, url):
    try:
        return {"value": plain(operation(url))}

    except Cut as cut:
        return {**described(cut.cause), "seen": plain(cut.seen)}

    except Exception as error:
        return described(error)


def described(error):
    return {"error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "text": str(getattr(error, "error", None) or error)}


# What the server was asked.  Of the body the sum, as the gateway changes
# nothing where there is nothing to take out.

def asked(**arguments):
    return [{key: request.get(key)
             for key in ("method", "uri", "body_bytes", "body_sha256")}
            for request in fake_requests(**arguments)]


# Replies that are cut, and that a proxy before the gateway takes for whole

BREAKS = {
    "die": {"fault": "die", "after": 2},
    "reset": {"fault": "reset", "after": 2},
    "no last frame": {"no_done": True},
}


def cut_behind(operation, **settings):
    """What a client raises of a stream that is cut, with a second nginx
    between it and the gateway."""

    prepare(settings)
    result = outcome(operation, PROXIED)

    assert "error" in result, result
    assert 'server "127.0.0.1:' in result["text"], result

    return result


def each(operation, gateway=GATEWAY, server=None, **settings):
    """The outcomes and the records of both."""

    for url in (DIRECT, gateway):
        prepare(settings, server)
        result = outcome(operation, url)
        yield result, asked(wait_active=0, timeout_ms=5000)


def both(operation, **options):
    """The outcomes; the server was asked for the same."""

    (direct, asked_direct), (gateway, asked_gateway) \
        = each(operation, **options)

    assert asked_gateway == asked_direct
    assert asked_direct, "the server was asked for nothing"

    return direct, gateway


def same(operation, **options):
    """The outcome, the same of both, which is no error."""

    direct, gateway = both(operation, **options)

    assert gateway == direct
    assert "error" not in gateway, gateway

    return gateway["value"]


def same_error(operation, **options):
    direct, gateway = both(operation, **options)

    assert gateway == direct
    assert "error" in gateway, gateway

    return gateway


def closed(wait=5000):
    """The record of the last request, which a client left."""

    last = fake_requests(wait_ended=1, timeout_ms=wait)[-1]
    assert last["end"] == "client_closed", last

    return last


def stop(task):
    """Has the gateway stop a generation; what it says."""

    with _open(f"{GATEWAY}/api/chat/cancel/{task}", b"", timeout=15) as reply:
        return json.loads(reply.read())


def stopped(operation, task, **settings):
    """What an operation gives that is stopped while it waits for an answer."""

    prepare(settings)

    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        value = threads.submit(operation)
        fake_requests(wait_count=1)
        assert stop(task)["cancelled"] is True
        return value.result(10)


def until(condition, seconds=5):
    end = time.monotonic() + seconds

    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
