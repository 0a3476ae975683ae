"""What is built: four images on shared layers, quick to build again, carried to a machine without a network."""

import json
import time

from engine import run
from people import PIN

from app.host.env_file import read_env


def image(person, name: str) -> str:
    return f"moksori-{name}:{read_env(str(person.tree / '.env'))['OWNER']}-{PIN}"


def layers(name: str) -> list[str]:
    return json.loads(run("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", name).stdout)


def test_the_three_with_torch_share_all_that_is_large(kim):
    prep, extract, train, infer = (layers(image(kim, name)) for name in ("prep", "extract", "train", "infer"))
    assert extract == train == infer  # the fourth costs nothing
    size = int(run("docker", "image", "inspect", "--format", "{{.Size}}", image(kim, "prep")).stdout)
    assert size < 1.2e9 and prep[:3] == extract[:3]
    found = kim.compose("run", "--rm", "--entrypoint", "python3", "tool", "-c", "import torch")
    assert found.returncode == 1 and "No module named 'torch'" in found.stdout


def test_each_holds_its_pin(kim):
    code = "import torch; print(torch.__version__, torch.version.cuda)"
    for service in ("extract", "train", "infer"):
        found = kim.compose("run", "--rm", "--entrypoint", "python3", service, "-c", code)
        assert "2.0.1+cu117 11.7" in found.stdout, found.stdout


def test_an_edit_of_the_code_is_built_in_seconds_and_by_make_alone(kim):
    path = kim.tree / "jobs" / "status.py"
    before = path.read_text()
    path.write_text(before + "\n# edited\n")
    try:
        began = time.monotonic()
        done = kim.make("status")
        seconds = time.monotonic() - began
        assert done.returncode == 0 and "its sources have changed" in done.stdout, done.stdout
        assert seconds < 60, seconds  # some 6 s; cold it takes minutes
        assert "building" not in kim.make("status").stdout
    finally:
        path.write_text(before)
    assert "fix: make images" in kim.make("image-save").stdout  # what was built is of another source


def test_images_are_saved_and_loaded_without_a_network(kim, tmp_path):
    done = kim.make("image-load", ARCHIVE="nowhere.gz")
    assert done.returncode == 2 and "no such file" in done.stdout
    assert kim.make("images").returncode == 0
    out, name = kim.home / "images.gz", image(kim, "prep")  # all four take minutes to pack
    done = kim.make("image-save", OUT=str(out), IMAGES="prep")
    assert done.returncode == 0 and "make image-load" in done.stdout, done.stdout
    digest = run("docker", "image", "inspect", "--format", "{{.Id}}", name).stdout
    run("docker", "rmi", "-f", name)
    done = kim.make("image-load", ARCHIVE=str(out))
    assert done.returncode == 2 and "holds no moksori-extract" in done.stdout, done.stdout
    done = kim.make("image-load", ARCHIVE=str(out), IMAGES="prep")
    out.unlink()
    assert done.returncode == 0, done.stdout
    assert run("docker", "image", "inspect", "--format", "{{.Id}}", name).stdout == digest
    assert not run("docker", "images", "-q", f"moksori-prep:{PIN}").stdout  # names without an owner stay with nobody
