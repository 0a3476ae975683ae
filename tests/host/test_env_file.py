""".env keeps what the user wrote and renews what the machine says."""

import os

from app.host import settings
from app.host.env_file import quoted, read_env, take_up, write_env
from app.host.settings import certificates, identity, owner_name


def test_what_is_written_is_read_and_choices_stay(tmp_path):
    path = str(tmp_path / ".env")
    write_env(path, {"CUDA": "cu130", "UID": 7}, {"DATA": "", "CPUS": 8}, {"CUDA": "the pin"})
    assert read_env(path) == {"CUDA": "cu130", "UID": "7", "DATA": "", "CPUS": "8"}
    text = (tmp_path / ".env").read_text()
    assert "# the pin\nCUDA=cu130" in text
    mine = text.replace("DATA=", "DATA='/srv/the corpus'").replace("CPUS=8", "CPUS=2  # no more") + "MINE=1\n"
    (tmp_path / ".env").write_text(mine)
    write_env(path, {"CUDA": "cu117", "UID": 7}, {"DATA": "", "CPUS": 8, "NEW": "x"}, {})
    found = read_env(path)
    assert found == {"CUDA": "cu117", "UID": "7", "DATA": "/srv/the corpus", "CPUS": "2", "MINE": "1", "NEW": "x"}
    assert not list(tmp_path.glob(".env.*"))


def test_what_was_typed_counts_more_and_empty_says_nothing(tmp_path):
    (tmp_path / ".env").write_text("# a comment\nRUN=mine\nexport WORKERS=4\nDATA=\nNOT A LINE\n")
    environ = {"RUN": "typed", "WORKERS": ""}
    take_up(str(tmp_path / ".env"), environ)
    assert environ == {"RUN": "typed", "WORKERS": "4"}
    take_up(str(tmp_path / "none"), environ)


def test_home_and_names_mean_what_compose_takes_them_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/kim")
    (tmp_path / ".env").write_text("A=~/corpus\nB=$HOME/runs\nC=\"${HOME}/x y\"\nD='$HOME/~'\nE=/a~b\n")
    assert read_env(str(tmp_path / ".env")) == {
        "A": "/home/kim/corpus", "B": "/home/kim/runs", "C": "/home/kim/x y", "D": "$HOME/~", "E": "/a~b",
    }  # fmt: skip


def test_values_with_signs_are_quoted():
    assert quoted("/a/b:c,d=e") == "/a/b:c,d=e" and quoted("a b") == "'a b'" and quoted("$HOME") == "'$HOME'"


def test_two_people_and_two_folders_have_different_names(tmp_path, monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    names = set()
    for user in ("Kim.Min-Su", "lee"):
        monkeypatch.setattr("app.host.settings.getpass.getuser", lambda: user)
        names |= {owner_name(str(tmp_path)), owner_name(str(tmp_path / "other"))}
    assert len(names) == 4 and all(name.replace("-", "").isalnum() and name.islower() for name in names)


def test_containers_are_the_callers_also_under_sudo_and_root_within_a_rootless_engine(monkeypatch):
    monkeypatch.setattr("app.host.settings.os.getuid", lambda: 1000)
    monkeypatch.setattr("app.host.settings.os.getgid", lambda: 100)
    assert identity({}) == (1000, 100)
    assert identity({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}) == (0, 0)
    monkeypatch.setattr("app.host.settings.os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1001")
    monkeypatch.setenv("SUDO_GID", "101")
    assert identity({}) == (1001, 101)


def test_certificates_of_this_network_are_found(tmp_path, monkeypatch):
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert certificates() == "/dev/null"
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    assert certificates() == str(tmp_path / "ca.pem")


def test_facts_are_renewed_and_a_teams_group_and_limits_stay_while_they_can_be(tmp_path, monkeypatch):
    path = str(tmp_path / ".env")
    monkeypatch.setattr(settings, "ENV", path)
    monkeypatch.setattr(settings, "ROOT", str(tmp_path))
    monkeypatch.setattr(settings.os, "getgroups", lambda: [100, 2000])
    monkeypatch.setattr(settings, "identity", lambda docker: (1000, 100))
    settings.write_settings({}, 0, "cu130")
    found = read_env(path)
    assert (found["UID"], found["GID"], found["CUDA"], found["TENSORBOARD_PORT"]) == ("1000", "100", "cu130", "6006")
    text = (tmp_path / ".env").read_text().replace("\nGID=100", "\nGID=2000").replace("CPUS=", "CPUS=999", 1)
    (tmp_path / ".env").write_text(text)
    settings.write_settings({}, 2, "cu117")
    found = read_env(path)
    assert (found["GID"], found["CUDA"], found["HOST_GPUS"]) == ("2000", "cu117", "2")
    assert int(found["CPUS"]) == len(os.sched_getaffinity(0))  # not more than there are
    (tmp_path / ".env").write_text((tmp_path / ".env").read_text().replace("\nGID=2000", "\nGID=4711"))
    settings.write_settings({}, 0, "cu117")
    assert read_env(path)["GID"] == "100"  # a group that we are not in


def test_a_rootless_engine_without_controls_gets_no_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "ENV", str(tmp_path / ".env"))
    lacking = {"CpuCfsQuota": False, "MemoryLimit": True, "PidsLimit": False, "SecurityOptions": ["name=rootless"]}
    settings.write_settings(lacking, 0, "cu130")
    found = read_env(str(tmp_path / ".env"))
    assert (found["CPUS"], found["PIDS"], found["UID"]) == ("0", "0", "0") and found["MEMORY"].endswith("g")


def test_the_group_of_the_corpus_counts_where_we_are_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(settings.os, "getgroups", lambda: [tmp_path.stat().st_gid])
    assert settings.group_of(str(tmp_path), 7) == tmp_path.stat().st_gid
    monkeypatch.setattr(settings.os, "getgroups", lambda: [4711])
    assert settings.group_of(str(tmp_path), 7) == 7 == settings.group_of(str(tmp_path / "none"), 7)
