#
# What the benchmarks share: the stand-in server, nginx, and tables.
#

import atexit
import datetime
import json
import os
import platform
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

BUILD = os.environ.get("BUILD_DIR", os.path.join(TOP, "build/release"))
NGINX = os.environ.get("TEST_NGINX_BINARY", "/usr/sbin/nginx")
MODULE = os.environ.get(
    "OLLAMA_MODULE", os.path.join(BUILD, "ngx_http_ollama_module.so"))
FAKE = os.environ.get("OLLAMA_FAKE", os.path.join(BUILD, "fake/fake"))
LOAD = os.path.join(BUILD, "bench/load")
GET = os.path.join(BUILD, "bench/get")

BODY = json.dumps({"model": "m1", "messages": [
    {"role": "user", "content": "Why is the sky blue? " * 20}]})

CONF = """
{load_module}
daemon off;
worker_processes {workers};
worker_rlimit_nofile {files};
pid nginx.pid;
error_log error.log error;

events {{
    worker_connections 32768;
}}

http {{
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;

{http}
}}
"""

processes = []


def end_all():
    """What was not stopped, because something went wrong before."""

    for process in processes:
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)
            process.wait(30)


atexit.register(end_all)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def die(text):
    sys.exit("bench: " + text)


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            die("timed out: " + what)
        time.sleep(0.02)


def pin(cpu):
    """The gateway has one core, all else the other, where there are two."""

    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return None

    chosen = {cpus[0]} if cpu == "gateway" else set(cpus[1:])
    return lambda: os.sched_setaffinity(0, chosen)


class Fake:
    """The stand-in server, t/fake."""

    def __init__(self):
        self.process = subprocess.Popen(
            [FAKE, "-p", "0", "-x"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, preexec_fn=pin("load"))
        processes.append(self.process)
        self.port = int(self.process.stdout.readline().split(":")[-1])
        self.set({"server": {"record": False}})

    def ask(self, what, values=None):
        request = urllib.request.Request(
            "http://127.0.0.1:%d/fake/%s" % (self.port, what),
            data=None if values is None else json.dumps(values).encode())
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read())

    def set(self, values):
        self.ask("set", values)

    def freeze(self, on):
        """Stops the process: connections open, and nothing is answered."""

        self.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class Gateway:
    """An nginx with one worker process or more, with the module or without.

    "http" is the inside of that block of its configuration, in which PORT is
    where to listen, and TOP this checkout; "env" is added to the environment.
    """

    def __init__(self, name, folder, http, module=True, env={}, workers=1):
        self.name = name
        self.port = free_port()
        self.folder = os.path.join(folder, name)
        os.makedirs(os.path.join(self.folder, "temp"))

        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w") as f:
            f.write(CONF.format(
                load_module="load_module %s;" % MODULE if module else "",
                files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
                workers=workers,
                http=http.replace("PORT", str(self.port))
                         .replace("TOP", TOP)))

        self.process = subprocess.Popen(
            [NGINX, "-p", self.folder, "-c", path, "-e", "error.log"],
            env=dict(os.environ, **env), preexec_fn=pin("gateway"))
        processes.append(self.process)
        wait_for(name + " to start", self.find_worker)
        self.idle = self.memory()

    def find_worker(self):
        if self.process.poll() is not None:
            die("nginx did not start, see " + self.folder)
        path = "/proc/%d/task/%d/children" % (2 * (self.process.pid,))
        with open(path) as f:
            children = f.read().split()
        self.worker = int(children[0]) if children else None
        return bool(children) and listens(self.port)

    def cpu(self):
        """Nanoseconds the worker has run."""

        with open("/proc/%d/schedstat" % self.worker) as f:
            return int(f.read().split()[0])

    def memory(self):
        """Bytes of its own memory."""

        with open("/proc/%d/status" % self.worker) as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        with open(os.path.join(self.folder, "error.log")) as f:
            errors = f.read()
        if errors:
            die("%s logged errors:\n%s" % (self.name, errors[:2000]))


class Memory(threading.Thread):
    """The most memory the worker had during a run."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.most = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, self.gateway.memory())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def load(port, streams, total, frames, ramp=0, body=BODY):
    run = subprocess.run(
        [LOAD, str(port), "/api/chat", str(streams), str(total),
         str(frames), str(ramp), body],
        stdout=subprocess.PIPE, text=True, preexec_fn=pin("load"),
        timeout=300)
    if not run.stdout:
        die("the load generator failed")
    return json.loads(run.stdout)


def check(result, name):
    if result["failed"] or result["lost"]:
        die("%s: %d streams failed, %d frames lost: %s"
            % (name, result["failed"], result["lost"], result["error"]))


def median(runs, *keys):
    values = []
    for run in runs:
        for key in keys:
            run = run[key]
        values.append(run)
    return statistics.median(values)


def quantile(values, part):
    return sorted(values)[int(len(values) * part)]


def ratio(ours, plain):
    return "%.2f" % (ours / plain) if plain > 0 else "-"


def table(title, columns, rows):
    lines = ["", "### " + title, "", "| " + " | ".join(columns) + " |",
             "| --- |" + " ---: |" * (len(columns) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":")[1].strip() for line in f
                 if line.startswith("model name")]
    return "%s, %d × %s, Linux %s" % (
        datetime.date.today(), len(names), names[0] if names else "?",
        platform.release())
