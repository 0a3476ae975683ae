"""The images of this checkout: built where they are missing or old, and carried to servers without a network.

python3 app/host/images.py build | save | load
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from app.host.docker import asked, label_of  # noqa: E402
from app.host.env_file import take_up  # noqa: E402

ENV = os.path.join(ROOT, ".env")
SOURCE = "moksori.source"  # the label that says what an image was built from
BUILT_FROM = ("Dockerfile", ".dockerignore", "app", "jobs", "requirements")
NAMES = ("prep", "extract", "train", "infer")
BUILDERS = ("prepare", "extract", "train", "infer")  # one service for each image
NEEDED = 0.6  # of its size, an image takes so much when packed


def main():
    take_up(ENV)
    word = sys.argv[1]
    if not os.environ.get("OWNER"):
        return refuse("there is no .env yet", "make doctor")
    return {"build": build, "save": save, "load": load}[word]()


def build():
    """All four; an exit code."""
    os.environ["SOURCE"], os.environ["COMMIT"] = digest(), commit()
    words = ["docker", "compose", "--profile", "jobs", "build", *BUILDERS]
    return 2 if subprocess.run(words, cwd=ROOT, check=False).returncode else 0


def commit():
    """Of this checkout, "+" where files were changed since; empty where nobody knows. Models note it."""

    def told(*words):
        call = ["git", "-C", ROOT, *words]
        try:
            done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    if os.path.realpath(told("rev-parse", "--show-toplevel") or "/") != os.path.realpath(ROOT):
        return ""
    return told("rev-parse", "HEAD") + ("+" if told("status", "--porcelain", "--untracked-files=no") else "")


def save():
    """OUT=file: the four images, or those of IMAGES, packed, under names without an owner."""
    names = wanted()
    if not names:
        return refuse("IMAGES=%s" % os.environ["IMAGES"], "some of: " + " ".join(NAMES))
    out = os.path.abspath(os.path.join(ROOT, os.environ.get("OUT") or "moksori-%s.images.gz" % pin()))
    missing = [tag(name) for name in names if label_of(tag(name), SOURCE) != digest()]
    if missing:
        return refuse("not built from this source: %s" % ", ".join(missing), "make images")
    plain = ["moksori-%s:%s" % (name, pin()) for name in names]
    size = max(int(asked("image", "inspect", "--format", "{{.Size}}", tag(name))[1] or 0) for name in names)
    free = shutil.disk_usage(os.path.dirname(out)).free
    if free < NEEDED * size:
        what = "%.1f GB free in %s, the images need %.1f" % (free / 1e9, os.path.dirname(out), NEEDED * size / 1e9)
        return refuse(what, "OUT=FILE: a place with more room")
    for name, other in zip(names, plain):  # noqa: B905 - Python 3.8
        asked("tag", tag(name), other)
    draft = "%s.%d" % (out, os.getpid())
    print("images: saving %s into %s (minutes)" % (", ".join(plain), out), file=sys.stderr)
    try:
        with open(draft, "wb") as file:
            source = subprocess.Popen(["docker", "save", *plain], stdout=subprocess.PIPE)
            packed = subprocess.run(["gzip", "-1"], stdin=source.stdout, stdout=file, check=False)
            if source.wait() or packed.returncode:
                return refuse("docker save or gzip failed", "mend what is said above, then the same again")
        os.replace(draft, out)
    finally:
        asked("rmi", *plain)
        if os.path.exists(draft):
            os.remove(draft)
    print(
        "images: %s, %.1f GB; there: make image-load ARCHIVE=FILE" % (out, os.path.getsize(out) / 1e9), file=sys.stderr
    )
    return 0


def load():
    """ARCHIVE=file: takes the images of another machine as ours; they must come from this same source."""
    archive = os.environ.get("ARCHIVE") or "moksori-%s.images.gz" % pin()
    archive = os.path.abspath(os.path.join(ROOT, archive))
    if not os.path.isfile(archive):
        return refuse("%s: no such file" % archive, "ARCHIVE=FILE, as make image-save wrote it")
    plain = {name: "moksori-%s:%s" % (name, pin()) for name in wanted()}
    if subprocess.run(["docker", "load", "-q", "-i", archive], stdin=subprocess.DEVNULL, check=False).returncode:
        return refuse(
            "%s could not be loaded" % archive, "is it whole (gzip -t FILE)? is there room (docker system df)?"
        )
    for name, other in plain.items():
        if label_of(other, SOURCE) is None:
            return refuse(
                "%s holds no %s" % (archive, other), "CUDA=... as it was saved; make doctor tells which runs here"
            )
        asked("tag", other, tag(name))
    asked("rmi", *plain.values())
    if any(label_of(tag(name), SOURCE) != digest() for name in plain):
        return refuse("the images come from another source than this checkout", "the same commit on both machines")
    print("images: %s" % ", ".join(tag(name) for name in plain), file=sys.stderr)
    return 0


def wanted():
    """IMAGES, or all four; [] where one is named that does not exist."""
    names = (os.environ.get("IMAGES") or " ".join(NAMES)).replace(",", " ").split()
    return names if set(names) <= set(NAMES) else []


def ensure(service):
    """Whether the service's image is here and of this source; else it is built."""
    os.environ["SOURCE"], os.environ["COMMIT"] = digest(), commit()
    code, said, complaint = asked("compose", "config", "--images", service, seconds=30)
    if code:
        refuse(complaint or "docker compose config failed", "mend .env; `make doctor` renews what it knows")
        return False
    image = said.split()[0]
    there = label_of(image, SOURCE)
    if there == os.environ["SOURCE"]:
        return True
    why = "the first time: minutes, 1 to 6 GB" if there is None else "its sources have changed: some seconds"
    print("docker: building %s (%s)" % (image, why), file=sys.stderr)
    before = _id_of(image)
    done = subprocess.run(["docker", "compose", "build", service], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    if before and not done.returncode and before != _id_of(image):
        asked("rmi", before)  # without a name now; refused where a container still uses it
    if done.returncode:
        refuse(
            "%s could not be built" % image,
            "mend what is said above; without a network, make image-save where there is one, make image-load here",
        )
    return done.returncode == 0


def _id_of(image):
    return asked("image", "inspect", "--format", "{{.Id}}", image)[1]


def digest():
    """Of all that an image is built from."""
    found = hashlib.sha256()
    for top in BUILT_FROM:
        path = os.path.join(ROOT, top)
        files = [path] if os.path.isfile(path) else []
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            files += [os.path.join(folder, name) for name in sorted(names) if not name.endswith(".pyc")]
        for file in files:
            with open(file, "rb") as content:
                found.update(os.path.relpath(file, ROOT).encode() + b"\0" + content.read())
    return found.hexdigest()[:16]


def tag(name):
    return "moksori-%s:%s-%s" % (name, os.environ["OWNER"], pin())


def pin():
    return os.environ.get("CUDA") or "cu130"


def refuse(what, fix):
    """2, once it is told."""
    print("docker: %s\n  fix: %s" % (what, fix), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
