"""The doctor on machines with old, middle and new drivers, MIG, none, and broken ones; from recorded answers."""

import json
from pathlib import Path

import pytest

from app.host import gpu_checks, nvidia_smi, pins

RECORDED = Path(__file__).parent / "nvidia_smi"


def machine(name: str):
    answers = json.loads((RECORDED / f"{name}.json").read_text())

    def ask(words):
        if words == ["-L"]:
            return tuple(answers["parts"])
        if words[0].startswith("--query-compute-apps"):
            return tuple(answers["users"])
        kind = "new" if "compute_cap" in words[0] else "older" if "mig.mode" in words[0] else "oldest"
        return tuple(answers[kind])

    return nvidia_smi.look(ask)


def rows(name: str, wanted: str | None = None):
    found = machine(name)
    return list(gpu_checks.gpu_rows(found)), list(gpu_checks.pin_rows(found, wanted))


@pytest.mark.parametrize(
    ("name", "pin", "why"),
    [
        ("old_450", "cu117", "cu128 needs driver 525.60.13 or later"),
        ("middle_535", "cu128", "cu130 needs driver 580.65.06 or later"),
        ("new_580", "cu130", "the newest that runs with driver 580.159.04"),
        ("mig_550", "cu128", "cu130 needs driver"),
        ("v100_580", "cu128", "cu130 holds no code for a GPU of compute capability 7.0"),
        ("mixed_580", "cu130", "the newest that runs with driver 580.95.05"),  # the small one does not count
        ("lost_550", "cu128", "cu130 needs driver"),
        ("kepler_470", "cu117", "cu128 needs driver"),
        ("none_535", "cu130", "no GPU to fit"),
        ("absent", "cu130", "no GPU to fit"),
    ],
)
def test_the_pin_is_the_newest_that_the_driver_and_the_gpus_run(name, pin, why):
    found = machine(name)
    chosen, said = gpu_checks.chosen_pin(found)
    assert chosen == pin and why in said


@pytest.mark.parametrize(
    ("name", "words", "fix"),
    [
        ("ancient_418", "needs driver 450.80.02", "a driver of 450.80.02 or later"),
        ("pascal_580", "", "driver"),
    ],
)
def test_where_no_pin_runs_it_is_to_be_mended_and_says_why(name, words, fix):
    found = machine(name)
    if name == "pascal_580":  # cu117 would run it: without it nothing is left, and no driver helps
        assert gpu_checks.chosen_pin(found)[0] == "cu117"
        found["gpus"][0]["compute_cap"] = "3.0"
        [(verdict, what, text, mend)] = gpu_checks.pin_rows(found)
        assert verdict == "mend" and text.count("compute capability 3.0") == 3 and mend == "DEVICE=cpu"
        return
    [(verdict, what, text, mend)] = gpu_checks.pin_rows(found)
    assert verdict == "mend" and what == "cuda" and words in text and fix in mend
    assert gpu_checks.chosen_pin(found)[0] is None


def test_a_small_gpu_for_the_screen_vetoes_nothing_and_is_named():
    pin, note = rows("mixed_580")[1]
    assert pin[0] == "ok" and pin[2].startswith("cu130")
    assert note[0] == "note" and "GPU 0 Quadro P400 is not run by cu130" in note[2] and "GPUS=1, in .env" in note[3]


def test_one_lost_among_others_is_told_beside_them():
    lost, other = rows("lost_550")[0]
    assert lost[0] == "mend" and "fallen off the bus" in lost[2] and other[0] == "ok" and "A40" in other[2]


def test_a_pin_that_was_chosen_stays_where_it_runs_and_else_not():
    assert gpu_checks.chosen_pin(machine("new_580"), "cu128") == (
        "cu128",
        "as .env says, and it runs with driver 580.159.04",
    )
    assert gpu_checks.chosen_pin(machine("new_580"), "cu117")[0] == "cu130"  # holds no code for an H100
    [(verdict, _, text, _)] = rows("middle_535", "cu130")[1]
    assert verdict == "note" and text.startswith("cu128") and ".env said cu130, which does not run here" in text
    assert gpu_checks.chosen_pin(machine("absent"), "cu117")[0] == "cu117"


def test_who_is_on_a_gpu_is_named():
    free, taken = rows("old_450")[0]
    assert free[0] == "ok" and "3 of 40537 MB used, 0 % busy, driver 450.80.02" in free[2] and "used by" not in free[2]
    assert "98 % busy" in taken[2] and "used by root (process 1, 39208 MB)" in taken[2]  # process 1 is root's


def test_instances_of_mig_are_listed_and_missing_ones_told():
    gpu, parts = rows("mig_550")[0]
    assert "unknown how busy" in gpu[2] and parts[0] == "ok"
    assert "MIG 3g.40gb MIG-7f8091a2" in parts[2] and "MIG 1g.10gb MIG-8091a2b3" in parts[2]
    verdict, _, text, fix = rows("mig_empty_470")[0][1]
    assert verdict == "mend" and "no instance" in text and "nvidia-smi mig" in fix


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("mismatch_535", "updated under the running system", "restart"),
        ("no_driver", "no driver runs", "kernel newer than the driver"),
        ("daemon_reload", "daemon-reload", "start the container anew"),
        ("none_535", "finds no GPU", "dmesg"),
    ],
)
def test_a_broken_driver_is_told_in_words_with_what_to_do(name, what, fix):
    [(verdict, _, text, mend)] = rows(name)[0]
    assert verdict == "mend" and what in text and fix in mend


def test_no_gpu_at_all_is_worth_a_note_only():
    [(verdict, _, text, fix)] = rows("absent")[0]
    assert verdict == "note" and "CPU" in text and not fix


def test_an_answer_nobody_has_seen_is_shown_as_it_is():
    found = nvidia_smi.look(lambda words: (1, "Some new words\n"))
    assert found["trouble"] == "nvidia-smi does not answer: Some new words" and not found["gpus"]


def test_versions_are_compared_as_numbers():
    assert pins.fitting("1000.1", ["8.0"])[0] == "cu130" and pins.fitting("99.9", ["8.0"]) == []
    assert pins.why_not("cu128", "525.60.13", ["8.0"]) == ""
    assert "needs driver" in pins.why_not("cu128", "525.60.11", ["8.0"])
    # code for 8.0 runs on 8.9; a newer architecture does not run old code
    assert pins.why_not("cu117", "535.1", ["8.9"]) == "" and "9.0" in pins.why_not("cu117", "535.1", ["9.0"])
    assert pins.why_not("cu117", "535.1", ["[N/A]"]) == ""
