"""What Docker says: asked through its command line, never waited for longer than some seconds."""

import json

from app.host.ask import ask


def asked(*words, seconds=15):
    """(exit code, what it says, what it complains of); code 127 where there is no docker, 124 where it hangs."""
    return ask(["docker", *words], seconds)


def engine_version():
    """The engine's version, or "" where none answers us."""
    code, said, _ = asked("version", "--format", "{{.Server.Version}}", seconds=5)
    return said if code == 0 else ""


def compose_version():
    """Compose's version ("2.26.1"), or "" where `docker compose` is not there."""
    code, said, _ = asked("compose", "version", "--short", seconds=5)
    return said.lstrip("v") if code == 0 else ""


def state_of(container):
    """A container's state, with its "Labels" and "Created"; {}: it is gone; None: nobody answers."""
    shape = '{"State":{{json .State}},"Labels":{{json .Config.Labels}},"Created":{{json .Created}}}'
    code, said, complaint = asked("inspect", "--type", "container", "--format", shape, container)
    if code == 0:
        found = json.loads(said)
        return dict(found["State"], Labels=found["Labels"] or {}, Created=found["Created"])
    return {} if "no such" in complaint.lower() else None


def label_of(image, label):
    """A label of an image; None where the image is not here."""
    code, said, _ = asked("image", "inspect", "--format", '{{index .Config.Labels "%s"}}' % label, image)
    return said if code == 0 else None
