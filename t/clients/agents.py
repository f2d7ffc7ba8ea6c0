"""Runs a coding agent once, as a script would: with a home of its own, and with
nothing to talk to but the gateway.

    answer = run([f"{AGENTS}/.bin/agent", "hi"], home, AGENT_KEY="x")
"""

import concurrent.futures
import dataclasses
import glob
import json
import os
import platform
import subprocess
import time

from both import fake, fake_requests, stop, until

AGENTS = os.environ["CLIENTS_AGENTS"]       # node_modules
NODE = os.environ["CLIENTS_NODE"]

LIMIT = 200         # seconds; they take 1 to 8 of a processor
NAME = "task-2"     # of the task that is stopped


@dataclasses.dataclass
class Answer:
    status: int
    output: str
    errors: str         # standard error

    def lines(self):
        """The objects of JSON, a line each."""

        return [json.loads(line) for line in self.output.splitlines()
                if line.startswith("{")]

    def __str__(self):
        return f"status {self.status}\n{self.output}\n{self.errors}"


def program(pattern):
    """That of this machine.  The packages' own scripts would link it under a
    shorter name, but are not run."""

    arch = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    found = sorted(glob.glob(f"{AGENTS}/{pattern.format(arch=arch)}"))
    assert found, f"{pattern} was not installed"

    # one that is called "baseline" needs the least of a processor
    return found[-1]


def run(command, home, during=None, **environment):
    """during() is called while the program runs."""

    folder = home / "work"
    folder.mkdir(exist_ok=True)

    # what it would fetch, it can't
    nowhere = "http://127.0.0.1:9"

    with subprocess.Popen(
            command, cwd=folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={
                "PATH": os.environ["PATH"], "HOME": str(home),
                "TMPDIR": str(home), "LANG": "C.UTF-8", "TERM": "dumb",
                "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere,
                "http_proxy": nowhere, "https_proxy": nowhere,
                "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
                "npm_config_offline": "true",
                **environment}) as process, \
            concurrent.futures.ThreadPoolExecutor(1) as threads:
        try:
            meanwhile = threads.submit(during) if during else None
            output, errors = process.communicate(timeout=LIMIT)

            if meanwhile:
                meanwhile.result()
        finally:
            process.kill()

    return Answer(process.returncode, output, errors)


def comes_true(**arguments):
    """Waits for the server's record, as long as an agent takes to begin."""

    until = time.monotonic() + LIMIT

    while fake("requests", timeout_ms=5000, **arguments).get("timed_out"):
        assert time.monotonic() < until, f"never came true: {arguments}"


def stopping(path):
    """Stops the generation of which some text has come: of one that is stopped
    before, an agent shows nothing."""

    comes_true(wait_count=1, path=path)
    until(lambda: any(request["frames_sent"] >= 5
                      for request in fake_requests(path=path)), LIMIT)
    assert stop(NAME)["cancelled"] is True


def sent(path):
    """The bodies that the server was asked with."""

    return [json.loads(request["body"])
            for request in fake_requests(path=path, wait_active=0)]
