# SPDX-License-Identifier: Apache-2.0
"""Configuration files, right and wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from oslo_config import cfg

from mthook import conf
from mthook.errors import ConfigError


def test_without_a_file_the_defaults_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The default file need not exist."""
    monkeypatch.setattr(conf, "DEFAULT_FILE", str(tmp_path / "absent"))

    options = conf.load()

    assert (options.hook.mode, options.hook.timeout, options.sync.realign) == ("audit", 5.0, True)
    assert options.catalog.path == "/var/lib/mthook/catalog.sqlite"


def test_the_default_file_counts_where_it_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without being named."""
    monkeypatch.setattr(conf, "DEFAULT_FILE", str(tmp_path / "mthook.conf"))
    (tmp_path / "mthook.conf").write_text("[hook]\nmode = off\n")

    assert conf.load().hook.mode == "off"


def test_of_two_files_the_later_counts_and_novas_own_options_dont_matter(tmp_path: Path) -> None:
    """nova.conf may be one of them."""
    nova, own = tmp_path / "nova.conf", tmp_path / "mthook.conf"
    nova.write_text(
        "[DEFAULT]\nhost = cmp7\ndebug = true\n[libvirt]\nconnection_uri = qemu:///session\n"
        "virt_type = kvm\n[neutron]\nurl = http://x\n"
    )
    own.write_text("[libvirt]\nconnection_uri = qemu:///system\n")

    options = conf.load([str(nova), str(own)])

    assert (options.host, options.libvirt.connection_uri) == ("cmp7", "qemu:///system")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hook]\nmode = enforec\n", "Value for option mode in {} is not valid: "),
        ("[hook]\ntimeout = 0\n", "Value for option timeout in {} is not valid: "),
        ("[hook]\ntimeout = soon\n", "Value for option timeout in {} is not valid: "),
        ("[sync]\nrealign = perhaps\n", "Value for option realign in {} is not valid: "),
        ("[hook\n", "Failed to parse {}"),
        ("mode = off\n\n= x\n", "Failed to parse {}"),
        ("[catalog]\npath = catalog.sqlite\n", "[catalog] path must be absolute, not catalog.sq"),
        ("[hook]\nmod = audit\n", "{}: no option mod in [hook]; did you mean mode?"),
        ("[hook]\nsafety = high\n", "{}: no option safety in [hook]"),
        ("[hok]\nmode = audit\n", "{}: no group [hok]; did you mean hook?"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    """File and option are named; a slip of the pen isn't taken for the default."""
    file = tmp_path / "mthook.conf"
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        conf.load([str(file)])

    said = str(caught.value)
    assert said.startswith(f"configuration ({file}): {message.format(file)}")
    assert "\n" not in said and "LocationInfo" not in said


def test_a_file_that_isnt_there_or_cant_be_read_is_named(tmp_path: Path) -> None:
    """As is one that isn't text."""
    (tmp_path / "binary.conf").write_bytes(b"[hook]\n\xff\xfe = \xff\n")
    for path in (tmp_path / "absent.conf", tmp_path, tmp_path / "binary.conf"):
        with pytest.raises(ConfigError) as caught:
            conf.load([str(path)])
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_novas_options_are_read_from_its_own_file(tmp_path: Path) -> None:
    """As nova.conf has them, with a dollar sign in a password doubled."""
    nova = tmp_path / "nova.conf"
    nova.write_text(
        "[database]\nconnection = mysql+pymysql://nova:p$$w@db/nova_cell1\nmax_pool_size = 5\n"
        "[api_database]\nconnection = mysql+pymysql://nova:pw@db/nova_api\n"
        "[libvirt]\nhw_machine_type = x86_64=q35,aarch64=virt-6.2\n"
    )

    options = conf.load([str(nova)])

    assert options.database.connection == "mysql+pymysql://nova:p$w@db/nova_cell1"
    assert options.libvirt.hw_machine_type == ["x86_64=q35", "aarch64=virt-6.2"]
    assert (conf.has_nova(options), options.sync.write_back) == (True, True)


@pytest.mark.parametrize("group", ["database", "api_database"])
def test_one_of_the_two_databases_is_enough(tmp_path: Path, group: str) -> None:
    """For mthook to work with Nova."""
    path = tmp_path / "mthook.conf"
    path.write_text(f"[{group}]\nconnection = mysql+pymysql://db/nova\n")

    assert conf.settings(conf.load([str(path)]), "seen").nova is True
    assert conf.has_nova(conf.load([])) is False


@pytest.mark.parametrize(
    "text",
    [
        "[database]\n  connection = mysql+pymysql://nova:geheim@h/nova\n",
        "[database]\n= mysql+pymysql://nova:geheim@h/nova\n",
        "[database]\nconnection mysql+pymysql//nova.geheim@h/nova\n",
        "[database]\nconnection = mysql+pymysql://nova:ab$geheim@h/nova\n",
        "[database]\nconnection = mysql+pymysql://nova:ab${database.geheim}@h/nova\n",
        "[api_database]\nconnection = mysql+pymysql://nova:ab${geheim}@h/nova\n",
        "[DEFAULT]\nconnection = geheim${connection}\n[database]\nconnection = x${connection}\n",
    ],
)
def test_no_message_quotes_a_password(tmp_path: Path, text: str) -> None:
    """Whatever is wrong with the line that has it."""
    path = tmp_path / "mthook.conf"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        conf.load([str(path)])

    assert "geheim" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_who_may_not_read_a_file_is_told_to_be_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may hold a password; root itself can read all."""
    path = str(tmp_path / "mthook.conf")

    def refuse(*_: object, **__: object) -> None:
        raise cfg.ConfigFilesPermissionDeniedError([path])

    monkeypatch.setattr(cfg.ConfigOpts, "__call__", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(ConfigError) as caught:
        conf.load([path])

    assert str(caught.value) == f"{path}: Permission denied: run it as root"
