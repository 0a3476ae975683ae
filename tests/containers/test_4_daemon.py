"""The engine itself goes away; and GPUs are asked for, of a stand-in for NVIDIA's hook. Only with an engine of ours."""

import signal
import time

import pytest
from trainings import TRAIN, containers, has_checkpoint, prepared, wait_until, weights


@pytest.fixture
def ours(engine):
    if not engine.own:
        pytest.skip("this engine was here before us: it is not ours to kill")
    return engine


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "crashed"])
def test_a_detached_training_comes_back_after_the_daemon(ours, kim, unbroken, number):
    run = f"daemon-{number.name.lower()}"
    prepared(kim, run)
    done = kim.make(*TRAIN, f"RUN={run}", "DETACH=1")
    assert done.returncode == 0, done.stdout
    [name] = containers(kim)
    wait_until(lambda: has_checkpoint(kim, run))
    ours.end(number)
    ours.start()
    wait_until(lambda: not containers(kim) and any((kim.runs / run / "models").glob("crnn-*/model.json")), 180)
    assert kim.docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    assert weights(kim, run) == unbroken
    restarts = kim.docker("inspect", "--format", "{{.RestartCount}}", name)
    time.sleep(3)
    assert not containers(kim), "a finished job was started again"
    assert kim.docker("inspect", "--format", "{{.RestartCount}}", name) == restarts


def test_a_launcher_waits_for_the_daemon_and_goes_on(ours, kim, unbroken):
    prepared(kim, "waits")
    process = kim.start("make", *TRAIN, "RUN=waits")
    wait_until(lambda: has_checkpoint(kim, "waits"), process=process)
    ours.end(signal.SIGTERM)
    time.sleep(4)
    ours.start()
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    assert weights(kim, "waits") == unbroken


WITH_GPUS = {"COMPOSE_FILE": "docker-compose.yml:docker-compose.gpu.yml", "HOST_GPUS": "1"}


def test_an_engine_without_nvidias_runtime_is_told_in_words(ours, kim, road):
    prepared(kim, "gpu")
    done = kim.make(*TRAIN, "RUN=gpu", **WITH_GPUS)
    assert done.returncode == 2 and "cannot hand out GPUs" in done.stdout, done.stdout
    assert "nvidia-container-toolkit" in done.stdout


def test_a_gpu_on_the_host_that_the_job_cannot_use_is_no_silent_run_on_the_cpu(ours, kim, road):
    """Without the GPU file: as where a student's .env is older than the driver."""
    done = kim.make(*TRAIN, "RUN=gpu", HOST_GPUS="1")
    assert done.returncode == 2 and "there is a GPU on this host" in done.stdout and "DEVICE=cpu" in done.stdout, (
        done.stdout
    )


def test_gpus_are_asked_for_and_a_job_that_gets_none_says_so(ours, kim, road):
    """The hook is a stand-in that hands out nothing: there is no GPU here."""
    ours.end(signal.SIGTERM)
    ours.start(gpu_hook=True)
    done = kim.make(*TRAIN, "RUN=gpu", **WITH_GPUS)
    assert done.returncode == 2 and "there is a GPU on this host" in done.stdout, done.stdout
    assert '"NVIDIA_VISIBLE_DEVICES=all"' in ours.told_to_hook()
    done = kim.make("train", "CONFIG=configs/demo.yaml", "DATA=data/demo", "RUN=demo", "DEVICE=cpu", **WITH_GPUS)
    assert done.returncode == 0 and "done already" in done.stdout, done.stdout
