"""The running view: a real server over files as jobs write them, in a real browser; GPUs are played."""

import html
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from app.runtime.status import Status
from app.runtime.tell import span
from app.runtime.usage import Look
from app.scoring.dashboard import sections_of
from jobs.dashboard import view_of
from jobs.look_server import FRESH_S, Server
from tests.browser import LAPTOP, PHONE, opened
from tests.jobs.road import ROOT
from tests.runtime.fake_nvml import FakeGpu, FakeNvml

NOT_THERE = (
    *("/report/..", "/report/%2e%2e", "/report/other/../../../secret.html", "/report/none"),
    *("/report/other/config.yaml", "/config.yaml", "//etc/passwd", "/report/other/beside-..html"),
)
HOSTILE = "<img src=x onerror=alert(1)>"
TOLD = ("plan", "parameters", "select", "trust")
EPOCH = {"train_loss": 0.6, "select_loss": 0.5, "select_score": 0.3, "select_auc": 0.7}


@pytest.fixture
def runs(tmp_path) -> Path:
    """A training at work in this process, with one epoch, and an evaluation that failed with words of others in it."""
    model = tmp_path / "runs/night/models/crnn-1"
    model.mkdir(parents=True)
    (model / "metrics.jsonl").write_text(json.dumps({"epoch": 1, **EPOCH}) + "\n")
    training = Status(model, "train")
    training.update(label="train crnn", run="night", total=40, done=10, unit="steps", eta_s=90.0)
    training.start(3600.0, dict)
    (tmp_path / "runs/other/report").mkdir(parents=True)
    failed = Status(tmp_path / "runs/other/report", "evaluate")
    failed.update(label="evaluate", run="other")
    failed.start(3600.0, dict)
    failed.end("failed", HOSTILE)
    (tmp_path / "runs/other/report/index.html").write_text("<!DOCTYPE html><title>other</title><h1>the report</h1>")
    (tmp_path / "secret.html").write_text("not for you")
    yield tmp_path / "runs"
    training.quiet()


@contextmanager
def served(runs: Path, *words: str, **env: str):
    """(process, port, what it said) of the dashboard."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PORT", "LISTEN", "DASHBOARD_PORT")}
    command = [sys.executable, "-m", "jobs.dashboard", "--runs", str(runs), *words]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**clean, **env}) as process:
        said = ""
        try:
            while "Ctrl-C" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            yield process, int(re.search(r":(\d+)/", said)[1]), said
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        assert process.wait(20) == 0


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    link.request(method, path, headers=headers)
    answer = link.getresponse()
    return answer.status, answer.read().decode(), answer.headers


@pytest.mark.parametrize(("size", "scheme"), [(LAPTOP, "light"), (PHONE, "dark")])
def test_it_shows_what_runs_and_what_comes(runs, browser, size, scheme):
    with served(runs) as (process, port, said):
        address = f"http://127.0.0.1:{port}/"
        assert address in said and f"ssh -N -L {port}:127.0.0.1:{port} SERVER" in said
        with opened(browser, address, size, scheme) as seen:
            page = seen.page
            assert page.locator("progress").get_attribute("value") == "0.25"
            words = page.locator("main").inner_text()
            for told in ("train crnn", "10/40 steps", span(90.0), "cores busy", "GB free for runs", HOSTILE, "failed"):
                assert told in words, told
            curves = page.locator("#curves svg")
            assert curves.count() == 2 and "of night by epoch" in curves.first.get_attribute("aria-label")
            assert page.locator("img").count() == 0
            assert not seen.is_too_wide() and seen.violations() == []
            before = curves.first.inner_html()
            with (runs / "night/models/crnn-1/metrics.jsonl").open("a") as file:
                file.write(json.dumps({"epoch": 2, **EPOCH, "select_loss": 0.4}) + "\n")
            end = time.monotonic() + 20
            while curves.first.inner_html() == before:
                assert time.monotonic() < end
                page.wait_for_timeout(200)
            page.click("text=other >> nth=-1")
            assert page.locator("h1").inner_text() == "the report"
            page.go_back()
            assert seen.said == []  # until its server is gone
            assert {one.split("/")[2] for one in seen.asked} == {f"127.0.0.1:{port}"}
            process.send_signal(signal.SIGTERM)
            page.locator("#lost[role=status]", has_text="No answer").wait_for(timeout=20_000)


def test_one_step_of_a_closed_form_is_no_curve(runs):
    for name, lines in (("pooled_logistic-1", 1), ("crnn-0", 2)):
        (runs / "other/models" / name).mkdir(parents=True)
        rows = [json.dumps({"epoch": n + 1, **EPOCH}) for n in range(lines)]
        (runs / "other/models" / name / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    curves = sections_of(view_of(runs, Look(runs)))["curves"]
    assert "crnn-1 of night by epoch" in curves  # at work, with one epoch
    assert "crnn-0 of other by epoch" in curves and "pooled_logistic" not in curves


def test_a_run_that_is_gone_is_no_job_at_work(runs):
    """Its process does not live any more."""
    path = next((runs / "night/models/crnn-1/status").glob("*.json"))
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "pid": 2**22 + 1}))
    words = sections_of(view_of(runs, Look(runs)))["jobs"]
    assert "stale" in words and "<progress" not in words


def test_it_only_reads_and_only_what_it_is_for(runs):
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    with served(runs) as (_, port, _):
        code, text, headers = ask(port, "/")
        assert code == 200 and "script-src 'nonce-" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
        assert ask(port, "/", "HEAD")[:2] == (200, "")
        assert json.loads(ask(port, "/state")[1])["sections"].keys() == {"machine", "jobs", "curves", "best"}
        assert ask(port, "/report/other")[1].endswith("<h1>the report</h1>")
        for path in NOT_THERE:
            assert ask(port, path)[0] == 404, path
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(port, "/", method)[0] == 501
        # a page of somebody else's, whose name was led to 127.0.0.1
        assert ask(port, "/state", Host="evil.example")[0] == 403
        assert ask(port, "/state", Host=f"localhost:{port}")[0] == 200
        assert os.environ["PATH"] not in text
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_for_others_too_it_wants_its_token(runs):
    with served(runs, "--host", "0.0.0.0") as (_, port, said):
        token = re.search(r"\?token=([\w-]{20,})", said)[1]
        for path in ("/", "/state", "/report/other", "/?token=", f"/?token={token}x", "/?token=%C3%A9"):
            assert ask(port, path)[0] == 403, path
        assert ask(port, "/state", Cookie="moksori-=guess")[0] == 403
        code, _, headers = ask(port, f"/?token={token}")
        assert code == 303 and headers["Location"] == "/" and "HttpOnly; SameSite=Strict" in headers["Set-Cookie"]
        cookie = headers["Set-Cookie"].split(";")[0]
        assert ask(port, "/state", Cookie=cookie)[0] == 200
        # beside what others left on this host, another dashboard of ours among them
        for jar in (f'x={{"a": 1}}; {cookie}', f"a=b,c d; {cookie}; y", f"moksori-0123456789ab=other; {cookie}"):
            assert ask(port, "/state", Cookie=jar)[0] == 200, jar
        assert ask(port, "/state", Cookie=f"x{cookie}")[0] == 403
    with served(runs) as (_, port, said):
        assert "token" not in said
        code, _, headers = ask(port, "/?token=x")  # of another dashboard: nothing is set, which would end that one's
        assert code == 200 and headers["Set-Cookie"] is None
        found = [line.split()[3] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]  # of what listens
        listens = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line]
        assert found and [one for one in listens if one.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_port_that_is_taken_is_told_or_the_next_one_used(runs):
    with served(runs) as (_, port, _):
        with served(runs, DASHBOARD_PORT=str(port)) as (_, other, _):
            assert port < other < port + 20
        command = [sys.executable, "-m", "jobs.dashboard", "--runs", str(runs), "--port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and f"{port}: Address already in use" in done.stderr and "fix: " in done.stderr
    done = subprocess.run([*command[:-1], "many"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "PORT=many is no port" in done.stderr


def test_names_of_runs_and_their_comparisons_are_found(runs):
    for run, page in (("목소리", "index.html"), ("목소리", "beside-둘.html"), ("other", "beside-b-crnn--crnn.html")):
        (runs / run / "report").mkdir(parents=True, exist_ok=True)
        (runs / run / "report" / page).write_text(f"{run} {page}")
    with served(runs) as (_, port, _):
        words = ask(port, "/")[1]
        links = re.findall(r'<a href="(/report/[^"]+)">([^<]+)</a>', words)
        assert [name for _, name in links] == ["other", "other beside b-crnn--crnn", "목소리", "목소리 beside 둘"]
        for link, _ in links:
            code, text, _ = ask(port, quote(html.unescape(link)))
            assert code == 200 and ("report" in text or "index.html" in text or "beside" in text), link


@pytest.mark.parametrize(
    ("path", "words", "section"),
    [
        (
            "night/models/crnn-1/model.json",
            '{"name": "crnn", "plan": 1, "parameters": 2, "select": 3, "trust": 4}',
            "best",
        ),
        ("other/report/status/torn.json", '{"state": "done", "label": []}', "jobs"),
    ],
)
def test_a_file_of_another_kind_spoils_its_section_alone(runs, path, words, section):
    (runs / path).write_text(words)
    sections = sections_of(view_of(runs, Look(runs)))
    for name, inside in sections.items():
        assert ("Cannot be read" in inside) == (name == section), name
    assert "cores busy" in sections["machine"]


def test_who_reads_is_not_disturbed(runs, browser):
    """Focus, scroll and selection outlive the next look."""
    with served(runs) as (_, port, _), opened(browser, f"http://127.0.0.1:{port}/", PHONE) as seen:
        page, jobs = seen.page, "#jobs .scroll"
        page.focus(jobs)
        page.eval_on_selector(jobs, "one => { one.scrollLeft = 60; one.was = 1 }")
        end = time.monotonic() + 20
        while page.eval_on_selector(jobs, "one => one.was"):  # until it is taken over anew
            assert time.monotonic() < end
            page.wait_for_timeout(200)
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Jobs"
        assert page.eval_on_selector(jobs, "one => one.scrollLeft") == 60
        page.evaluate(f"document.getSelection().selectAllChildren(document.querySelector('{jobs} th'))")
        page.wait_for_timeout(4500)  # two looks
        assert page.evaluate("document.getSelection().toString()") != "" and seen.said == []


@pytest.mark.parametrize(
    ("host", "address", "tunnel"),
    [("::1", "http://[::1]:", ":[::1]:"), ("127.0.0.2", "http://127.0.0.2:", ":127.0.0.2:"),
     ("0.0.0.0", f"http://{socket.gethostname()}:", ":127.0.0.1:")],
)  # fmt: skip
def test_the_address_that_is_printed_is_the_one_it_listens_on(runs, host, address, tunnel):
    with served(runs, "--host", host) as (_, _, said):
        assert address in said and tunnel in said


def test_many_who_look_cost_one_look(runs):
    looks, look = [], Look(runs)

    def view():
        looks.append(1)
        time.sleep(0.05)
        return view_of(runs, look)

    server = Server("127.0.0.1", 0, view, runs)
    threading.Thread(target=server.serve, daemon=True).start()
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert {code for code, *_ in pool.map(lambda _: ask(server.port, "/state"), range(40))} == {200}
    assert len(looks) <= 1 + (time.monotonic() - began) / FRESH_S


def test_gpus_are_shown_with_who_uses_them(runs):
    nvml = FakeNvml(
        FakeGpu("GPU-1", free_gb=9.0, busy=87.0, users=[(2**22 + 5, 30.0)]), FakeGpu("GPU-2", name=HOSTILE, busy=0.0)
    )
    words = sections_of(view_of(runs, Look(runs, nvml)))["machine"]
    assert "NVIDIA A100: 9.0 of 40 GB free, 87 % busy, used by somebody (pid 4194309, 30 GB)" in words
    assert "width:87.0%" in words and "&lt;img src=x" in words and "no GPU is seen" not in words
    gone = sections_of(view_of(runs, Look(runs, FakeNvml(no_driver=nvml.NVML_ERROR_DRIVER_NOT_LOADED))))["machine"]
    assert "no GPU is seen from here" in gone


def test_what_is_left_out_is_counted(runs):
    for number in range(20):
        done = Status(runs / f"stages/mix-{number}", "mix")
        done.update(label="mix", run="old")
        done.end("done")
    jobs = sections_of(view_of(runs, Look(runs)))["jobs"]
    assert jobs.count('<tr class="quiet"><th') == 12 and "9 that ended before" in jobs  # with the failed evaluation


def test_nothing_yet_is_said(tmp_path):
    sections = sections_of(view_of(tmp_path, Look(tmp_path)))
    assert "make demo" in sections["jobs"] and "No training" in sections["curves"] and "No model" in sections["best"]
