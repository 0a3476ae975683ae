"""Who knows the secret is heard; nobody else is, whatever he sends, and he keeps nobody from being heard."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from app.runtime.talk import Line, call, listening

SECRET = "5e" * 32


def echo(line: Line) -> None:
    while message := line.receive():
        line.send({"heard": message})


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_line_there_and_one_back(everywhere):
    with listening(SECRET, echo, everywhere) as where:
        line = call(f"127.0.0.1:{where}" if everywhere else where, SECRET)
        for words in ("Moksori", "목소리\n", "x" * 100_000):
            line.send({"words": words})
            assert line.receive() == {"heard": {"words": words}}
        line.close()


def test_between_machines_over_ipv6_too():
    if not socket.has_dualstack_ipv6():
        pytest.fail("this kernel has no IPv6")
    with listening(SECRET, echo, everywhere=True) as port:
        line = call(f"::1:{port}", SECRET)
        assert line.ends == ("::1", "::1")
        line.close()


@pytest.mark.parametrize("everywhere", [False, True])
def test_who_does_not_know_the_secret_is_not_heard(everywhere):
    heard = []
    with listening(SECRET, heard.append, everywhere) as where:
        with pytest.raises(ConnectionRefusedError, match="none of ours"):
            call(f"127.0.0.1:{where}" if everywhere else where, SECRET[:-1] + "f")
        time.sleep(0.2)
    assert heard == []


NONCE = b'{"nonce": "%s"}\n' % (b"1" * 32)
STRANGE = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "wrong": NONCE + b'{"proof": "x"}\n',
    "no ascii": NONCE + '{"proof": "é"}\n'.encode(),
    "half a letter": b'{"nonce": "\\ud800"}\n{"proof": "\\ud800"}\n',
    "nested": b"[" * 990 + b"\n",
    "a list": b"[]\n",
    "long": b"x" * 5000,
}


@pytest.mark.parametrize("words", STRANGE.values(), ids=STRANGE)
def test_a_stranger_that_answers_is_not_believed(words):
    def answer(server: socket.socket) -> None:
        connected, _ = server.accept()
        with connected:
            connected.sendall(words)
            connected.shutdown(socket.SHUT_WR)
            connected.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        with pytest.raises(ConnectionRefusedError, match="none of ours"):
            call(f"127.0.0.1:{server.getsockname()[1]}", SECRET)


def test_who_is_slow_to_prove_himself_is_let_go(monkeypatch):
    monkeypatch.setattr("app.runtime.talk.PROVE_S", 1.0)
    with listening(SECRET, echo, everywhere=True) as port, socket.create_connection(("127.0.0.1", int(port))) as slow:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 10:
                slow.sendall(b" ")
                time.sleep(0.2)
        assert time.monotonic() - began < 4


@pytest.mark.parametrize("what", ["injected", "repeated", "left out"])
def test_who_passes_our_words_on_cannot_add_repeat_or_drop_any(what):
    heard = []

    def hears(line: Line) -> None:
        while message := line.receive():
            heard.append(message)

    def relay(server: socket.socket, port: int) -> None:
        ours, _ = server.accept()
        with ours, socket.create_connection(("127.0.0.1", port)) as theirs:
            back = threading.Thread(target=passed_on, args=(theirs, ours), daemon=True)
            back.start()
            for number, text in enumerate(ours.makefile("rb")):
                # the third line is the first after the proofs
                extra = {"injected": b'{"evil": 1}\n', "repeated": text}.get(what, b"") if number == 2 else b""
                with suppress(OSError):  # it is not believed any more
                    theirs.sendall((b"" if what == "left out" and number == 2 else text) + extra)

    def passed_on(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(4096):
                other.sendall(data)

    with listening(SECRET, hears, everywhere=True) as port, socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=relay, args=(server, int(port)), daemon=True).start()
        line = call(f"127.0.0.1:{server.getsockname()[1]}", SECRET)
        for number in range(3):
            try:
                line.send({"number": number})
            except OSError:
                break
            time.sleep(0.1)
        time.sleep(0.3)
        line.close()
    assert heard == ([] if what == "left out" else [{"number": 0}])


@pytest.mark.parametrize("words", STRANGE.values(), ids=STRANGE)
def test_a_stranger_is_let_go_and_keeps_nobody_waiting(words, capfd):
    heard = []
    listens = listening(SECRET, lambda line: heard.append(line.receive()), everywhere=True)
    with listens as port, socket.create_connection(("127.0.0.1", int(port))) as stranger:
        stranger.sendall(words)
        line = call(f"127.0.0.1:{port}", SECRET)
        line.send({"ours": True})
        until = time.monotonic() + 5
        while not heard and time.monotonic() < until:
            time.sleep(0.01)
        line.close()
        time.sleep(0.1)
    assert heard == [{"ours": True}] and capfd.readouterr().err == ""


def test_who_answers_in_our_place_learns_nothing_and_is_not_believed():
    """He sends back what he gets, which would do if both ends proved alike."""
    sent = []

    def mirror(server: socket.socket) -> None:
        connected, _ = server.accept()
        with connected:
            while data := connected.recv(4096):
                sent.append(data)
                connected.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=mirror, args=(server,), daemon=True).start()
        with pytest.raises(ConnectionRefusedError):
            call(f"127.0.0.1:{server.getsockname()[1]}", SECRET)
    assert sent and SECRET.encode() not in b"".join(sent)


def test_who_is_gone_is_told_by_nothing_more():
    gone = threading.Event()

    def talk(line: Line) -> None:
        assert line.receive() == {"bye": 1}
        assert line.receive() is None
        gone.set()

    with listening(SECRET, talk) as path:
        line = call(path, SECRET)
        line.send({"bye": 1})
        line.close()
        assert gone.wait(5)
