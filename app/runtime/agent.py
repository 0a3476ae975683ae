"""torchrun's agent on one node: started, and told to end with its members."""

import ipaddress
import os
import signal
import socket
import subprocess
import sys

import psutil

END = signal.SIGQUIT  # to the agent; it hears none of STOP_SIGNALS, which may reach all processes of a job at once
ADDRESS, SECRET = "MOKSORI_CREW", "MOKSORI_CREW_SECRET"  # environment: where a member finds its job, and the proof
LOOPBACK = "127.0.0.1"


def start_agent(words: list[str], address: str, secret: str, own: str = LOOPBACK) -> "subprocess.Popen[bytes]":
    """words: torchrun's. own: this machine's address among those of the job; what they sum travels over it."""
    face = {"GLOO_SOCKET_IFNAME": interface_of(own), "NCCL_SOCKET_IFNAME": interface_of(own)}
    if own != LOOPBACK:  # a site may know better
        face = {name: os.environ.get(name) or value for name, value in face.items()}
    env = {**os.environ, ADDRESS: address, SECRET: secret, **face}
    # its name is needed nowhere, which a container without a network cannot resolve
    full = [sys.executable, "-m", "app.runtime.crew_agent", f"--local-addr={own}", "--max-restarts=0", *words]
    return subprocess.Popen(full, env=env, process_group=0)


def end_agent(agent: "subprocess.Popen[bytes]") -> None:
    """It ends its members; whoever does not hear is killed, and they with it."""
    if agent.poll() is None:
        agent.send_signal(END)
        try:
            agent.wait(5.0)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()


def interface_of(address: str) -> str:
    """Its name here: eth0, lo."""
    wanted = plain(address)
    for name, found in psutil.net_if_addrs().items():
        if any(one.family in (socket.AF_INET, socket.AF_INET6) and plain(one.address) == wanted for one in found):
            return name
    return "lo" if ipaddress.ip_address(wanted).is_loopback else ""


def plain(address: str) -> str:
    """Without the zone of IPv6; IPv4 as itself."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)
