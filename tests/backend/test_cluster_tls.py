"""Schedulers at an address: on this machine, or with TLS; all others are refused at start."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import pytest

from backend.cluster_address import security_of
from backend.settings import Settings, read_settings
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest
from processes.errors import OpenEOError
from tests.backend.server import until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, and two pairs of `NAME.pem` and `NAME.key`: `peer` is signed by it, `stranger` is not."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates, and is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    openssl("req", *curve, "-keyout", "peer.key", "-out", "peer.csr", "-subj", "/CN=127.0.0.1")
    openssl(
        "x509", "-req", "-in", "peer.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "peer.pem"
    )
    return folder


def files(folder: Path, name: str = "peer") -> dict[str, str]:
    return {
        "tls_ca_file": str(folder / "ca.pem"),
        "tls_client_cert": str(folder / f"{name}.pem"),
        "tls_client_key": str(folder / f"{name}.key"),
    }


@contextlib.contextmanager
def dask_process(folder: Path, *arguments: str) -> Iterator[None]:
    """Run Dask's own command line with the peer's certificate, as an operator would."""
    pair = ("--tls-ca-file", "ca.pem", "--tls-cert", "peer.pem", "--tls-key", "peer.key")
    line = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:], *pair]
    with (folder / f"{arguments[0]}.log").open("wb") as log:
        process = subprocess.Popen(line, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def address(certificates: Path) -> Iterator[str]:
    """The address of a scheduler with TLS that has one worker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tls://127.0.0.1:{probe.getsockname()[1]}"
    scheduler = ("scheduler", "--host", address, "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
    worker = ("worker", address, "--nthreads", "1", "--no-dashboard", "--host", "tls://127.0.0.1")
    with dask_process(certificates, *scheduler), dask_process(certificates, *worker):
        yield address


def cluster_at(address: str, **given: Any) -> DaskCluster:
    settings = read_settings({}, scheduler=address, **given)
    return DaskCluster(address, security_of(settings))


def test_a_scheduler_with_tls_computes(address: str, certificates: Path) -> None:
    cluster = cluster_at(address, **files(certificates))
    until(lambda: cluster.workers() == 1, 60)
    total = cluster.compute(SyncRequest("tls", "anna", {}), da.ones((4, 4), chunks=2).sum(axis=0), Deadline(60))
    assert total.tolist() == [4, 4, 4, 4]
    cluster.close()


def test_whoever_shows_a_strangers_certificate_is_not_let_in(
    address: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.sync.cluster.CONNECT_SECONDS", 2.0)
    known = cluster_at(address, **files(certificates))
    until(lambda: known.workers() == 1, 60)
    known.close()
    stranger = cluster_at(address, **files(certificates, "stranger"))
    assert stranger.workers() is None
    with pytest.raises(OpenEOError) as busy:
        stranger.compute(SyncRequest("no", "anna", {}), da.ones(3), Deadline(10))
    assert busy.value.code == "InfrastructureBusy"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"])
def test_this_machine_needs_no_tls(address: str) -> None:
    settings = read_settings({}, scheduler=address)
    assert settings.scheduler == address
    assert security_of(settings) is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://10.0.0.5:8786", "this machine alone"),
        ("tcp://0.0.0.0:8786", "this machine alone"),
        ("tcp://no-such-host.invalid:8786", "this machine alone"),
        ("tls://10.0.0.5:8786", "TLS_CA_FILE is not set"),
        ("ws://127.0.0.1:8786", "must be an address"),
        ("ucx://10.0.0.5:8786", "must be an address"),
        ("127.0.0.1:8786", "must be an address"),
        ("tcp://127.0.0.1:70000", "must be an address"),
        ("tcp://127.0.0.1", "must be an address"),
    ],
)
def test_what_strangers_may_reach_is_refused_at_start(address: str, words: str) -> None:
    with pytest.raises(OpenEOError, match=words) as refused:
        read_settings({"OPENEO_EMBED_SCHEDULER": address})
    assert refused.value.code == "SettingInvalid"


def test_certificates_are_looked_at_before_the_start(certificates: Path) -> None:
    given = files(certificates)
    for name, bad, words in (
        ("tls_client_key", None, "TLS_CLIENT_KEY is not set: a scheduler at tls:// needs it"),
        ("tls_client_cert", str(certificates / "none.pem"), "cannot be read: No such file"),
        ("tls_ca_file", str(certificates / "peer.csr.none"), "cannot be read"),
    ):
        with pytest.raises(OpenEOError, match=words):
            read_settings({}, scheduler="tls://10.0.0.5:8786", **{**given, name: bad})
    (certificates / "text.pem").write_text("no certificate")
    with pytest.raises(OpenEOError, match="PEM"):
        read_settings({}, scheduler="tls://10.0.0.5:8786", **{**given, "tls_ca_file": str(certificates / "text.pem")})
    assert isinstance(read_settings({}, scheduler="tls://10.0.0.5:8786", **given), Settings)


def test_certificates_without_a_scheduler_that_asks_for_them_are_refused(certificates: Path) -> None:
    for scheduler in (None, "tcp://127.0.0.1:8786"):
        with pytest.raises(OpenEOError, match="for a scheduler at tls://"):
            read_settings({}, scheduler=scheduler, **files(certificates))
