"""What is sent to a helper holds what he needs and nothing that is nobody's business."""

import getpass
import json
import tarfile
from pathlib import Path

import pytest

from jobs.masking import Masker
from tests.jobs.sitter import ask

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
SECRETS = [  # (text, what must not be left of it)
    ("api_key=abc123secretvalue", "abc123secretvalue"),
    ("apiKey: abc123secretvalue", "abc123secretvalue"),
    ('{"access_token": "abc\\"123secretvalue", "epoch": 3}', "123secretvalue"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    ("password = my pass phrase", "phrase"),
    ("export HF_TOKEN='a b c d'", "a b c"),
    ("Authorization: Bearer abcdef123456", "abcdef123456"),
    ("curl -H 'X: y' --token abcdef123456 host", "abcdef123456"),
    ("sent with Bearer abcdef1234567890", "abcdef1234567890"),
    ("the token 0123456789abcdef0123456789abcdef is wrong", "0123456789abcdef"),
    ("git clone https://minsu:hunter2@example.org/x.git", "hunter2"),
    ("GET https://example.org/hook?id=77&sig=qqqq", "qqqq"),
    ("https://hooks.example.org/services/T0000/B0000/XXXXyyyyZZZZwwww1234", "XXXXyyyyZZZZ"),
    ("key is ghp_0123456789abcdefABCDEF0123456789abcd", "0123456789abcdef"),
    (f"got {JWT}", "dozjgNryP4J3"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----", "b3BlbnNzaC1rZXk"),
    ("ask kim.minsu@lab.example.ac.kr for room", "kim.minsu"),
    ("/home/minsu/data/train.csv", "minsu"),
    ("/data2/projects/minsu/runs owner=minsu", "minsu"),
]
KEPT = [
    "extract  41/120 shards  2050 clips  3 failed  31 clips/s  eta 2m",
    'weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    "KeyError: 'sample_rate'",
    "runs/stages/extract-0123456789ab/shards/00000",
    "snr_db: [0.0, 30.0]  keys: 14  monkeys: 3",
    "see https://example.org/docs/jobs.html",
    'File "app/config.py", line 12, in load_config',
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_masked(text, secret):
    assert secret in text
    assert secret not in Masker(home=Path("/home/minsu"), user="minsu")(f"before\n{text}\nafter")


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_the_lines_around_a_secret_stay(text, secret):
    masked = Masker(home=Path("/home/minsu"), user="minsu")(f"before\n{text}\nafter")
    assert masked.startswith("before\n") and masked.endswith("\nafter")


@pytest.mark.parametrize("text", KEPT)
def test_what_a_helper_needs_stays(text):
    assert Masker(home=Path("/home/minsu"), user="minsu")(text) == text


def test_what_is_masked_whole_is_masked_in_every_form():
    masked = Masker(whole=['curl -d "x" https://h.example\nsleep 1'], home=Path("/home/a"), user="a")
    said = (
        json.dumps({"notify": 'curl -d "x" https://h.example\nsleep 1'}) + ' and curl -d "x" https://h.example\nsleep 1'
    )
    assert "curl" not in masked(said) and "notify" in masked(said)


@pytest.fixture
def runs(tmp_path):
    """A run as its jobs leave it, with secrets planted wherever a user or a library could have put one."""
    runs, run = tmp_path / "runs", tmp_path / "runs" / "demo"
    (run / "logs").mkdir(parents=True)
    hook = "curl -d @- https://chat.example.org/hooks/PLANTED-hook-0123456789"
    (run / "config.yaml").write_text(f"seed: 7\nruntime:\n  notify: {hook}\n  workers: 0\n")
    (run / "stages.json").write_text(json.dumps({"extract": "extract-0123456789ab"}))
    lines = [f"line {n}" for n in range(1000)]
    lines += [
        f"runtime.notify failed: {hook}",
        "/bin/sh: 1: https://chat.example.org/hooks/PLANTED-hook-0123456789: not found",
        "OPENAI_API_KEY=PLANTED-in-log",
        f"OSError: {Path.home()}/corpus/x.ogg of {getpass.getuser()}",
        "mail PLANTED@example.org",
        "extract  3/9 shards",
    ]
    (run / "logs" / "extract.log").write_text("\n".join(lines))
    stage = runs / "stages" / "extract-0123456789ab"
    (stage / "status").mkdir(parents=True)
    (stage / "stage.json").write_text(json.dumps({"job": "extract", "shards": ["00000", "00001"]}))
    status = {
        "job": "extract", "label": "extract", "run": "demo", "task": "main", "state": "failed", "host": "h", "pid": 1,
        "started": 1.0, "updated": 2.0, "seconds": 1.0, "done": 3, "total": 9, "clips": 4, "failed": 3, "rate": 1.0,
        "peak_mb": 5.0, "note": "password: PLANTED-in-note",
    }  # fmt: skip
    (stage / "status" / "main.json").write_text(json.dumps(status))
    for shard, causes in (("00000", ["silent", "silent"]), ("00001", ["unreadable"])):
        (stage / "shards" / shard).mkdir(parents=True)
        rows = [{"id": f"PLANTED-id-{n}", "path": "PLANTED.ogg", "cause": cause} for n, cause in enumerate(causes)]
        (stage / "shards" / shard / "failed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return runs


def unpacked(done):
    assert done.returncode == 0, done.stderr
    path = Path(next(line for line in done.stderr.splitlines() if line.startswith("help-bundle: ")).split()[1])
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
        return path, {m.name.partition("/")[2]: archive.extractfile(m).read().decode() for m in members}


def test_a_bundle_holds_what_a_helper_needs_and_no_secret(runs):
    env = {"RUNS": str(runs), "WORKERS": "3", "MY_TOKEN": "PLANTED-in-environment", "INPUT": "x?token=PLANTED"}
    path, texts = unpacked(ask("help_bundle", **env))
    assert path.parent == runs and path.name.startswith("help-demo-")
    assert set(texts) == {
        "doctor.txt", "status.json", "versions.txt", "environment.txt", "config.yaml", "stages.json", "failed.json",
        "stages/extract-0123456789ab.json", "logs/extract.log",
    }  # fmt: skip
    everything = "\n".join(texts.values())
    assert "PLANTED" not in everything and "chat.example.org" not in texts["config.yaml"]
    if len(Path.home().parts) > 1:
        assert f"{Path.home()}/" not in everything
    assert json.loads(texts["failed.json"]) == {"extract": {"silent": 2, "unreadable": 1}}
    log = texts["logs/extract.log"].splitlines()
    assert len(log) == 200 and log[-1] == "extract  3/9 shards" and "line 999" in log and "line 5" not in log
    assert "seed: 7" in texts["config.yaml"] and "notify: '***'" in texts["config.yaml"]
    assert "WORKERS=3" in texts["environment.txt"] and "memory" in texts["doctor.txt"]
    assert "torch==" in texts["versions.txt"] and json.loads(texts["status.json"])[0]["state"] == "failed"
    assert json.loads(texts["stages/extract-0123456789ab.json"])["shards"] == ["00000", "00001"]


def test_it_says_what_is_in_it_and_to_look_first(runs, tmp_path):
    done = ask("help_bundle", RUNS=str(runs), RUN="demo", OUT=str(tmp_path / "mine.tar.gz"))
    assert (tmp_path / "mine.tar.gz").exists() and unpacked(done)
    assert "look at it before you send it" in done.stderr and "logs/extract.log" in done.stderr


def test_a_config_that_cannot_be_read_is_left_out(runs):
    (runs / "demo/config.yaml").write_text("runtime: {notify: PLANTED\n")
    _, texts = unpacked(ask("help_bundle", RUNS=str(runs)))
    assert texts["config.yaml"] == "cannot be read\n"


def test_before_any_run_there_is_still_the_machine(tmp_path):
    _, texts = unpacked(ask("help_bundle", RUNS=str(tmp_path / "runs")))
    assert set(texts) == {"doctor.txt", "status.json", "versions.txt", "environment.txt"}


@pytest.mark.parametrize(
    ("env", "words"), [({"RUN": "nobody"}, "RUN=NAME; there are: demo"), ({"OUT": "/proc/x"}, "OUT=")]
)
def test_what_cannot_be_is_told(runs, env, words):
    done = ask("help_bundle", RUNS=str(runs), **env)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
