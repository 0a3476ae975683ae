""".env keeps what the user wrote and renews what the machine says."""

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
