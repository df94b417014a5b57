"""Behind a real reverse proxy that speaks TLS, set up as in Docs/serving.md: the link, the cookie, the
websocket, an upload.
"""

import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from SparseVolumeReconstructionLib.mrml.sample_data import FILE

NAME, TOKEN = "svr.localhost", "t"


@pytest.fixture(scope="module")
def server(served):
    """A server that a proxy calls by its public name."""
    return served("--allow-host", NAME, token=TOKEN)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate that nobody signed, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("NO TEST OF PROXIES: openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    words = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={NAME} -keyout {folder}/key.pem "
        f"-out {folder}/cert.pem"
    )
    subprocess.run(words.split(), check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx(example: str, folder, port: int, certificate) -> list[str]:
    """The example as a whole configuration that needs no rights; returns the command."""
    example = example.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    example = example.replace("/etc/ssl/svr.pem", str(certificate[0])).replace(
        "/etc/ssl/svr.key", str(certificate[1])
    )
    places = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\nhttp {{ access_log "
        f"off; {places}\n{example}\n}}"
    )
    (folder / "nginx.conf").write_text(whole)
    return ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def caddy(example: str, folder, port: int, certificate) -> list[str]:
    """The example with a certificate of our own and another port; returns the command."""
    own = f"{NAME}:{port} {{\n tls {certificate[0]} {certificate[1]}"
    words = "{\n admin off\n auto_https disable_redirects\n}\n" + example.replace(f"{NAME} {{", own)
    (folder / "Caddyfile").write_text(words)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda each: each.__name__)
def proxy(request, repository, server, certificate, tmp_path_factory):
    """The address of a proxy before the server."""
    kind = request.param.__name__
    if shutil.which(kind) is None:
        pytest.skip(f"NO TEST BEHIND {kind}: it is not installed (Debian's packages nginx-light, caddy)")
    text = (repository / "Docs" / "serving.md").read_text(encoding="utf-8")
    example = re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1]
    example = example.replace("svr.example.org", NAME).replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    folder, port = tmp_path_factory.mktemp(kind), free_port()
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            request.param(example, folder, port, certificate), stdout=log, stderr=log, cwd=folder
        )
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < until, (folder / "log.txt").read_text()
            time.sleep(0.1)
    yield f"https://{NAME}:{port}/"
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def visitor(browse):
    """A browser that believes any certificate."""
    browser = browse()
    browser.driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": True})
    return browser


def test_the_page_works_behind_a_proxy(proxy, server, visitor):
    visitor.open(f"{proxy}?token={TOKEN}")
    assert visitor.driver.current_url == f"{proxy}index.html"
    (cookie,) = visitor.driver.get_cookies()
    assert (
        cookie["secure"]
        and cookie["httpOnly"]
        and cookie["sameSite"] == "Lax"
        and cookie["name"] == f"svr-session-{server.port}"
    )
    visitor.wait(lambda: visitor.picture("ThreeD"), "picture, by a websocket")
    visitor.there("upload-input").send_keys(str(FILE))
    visitor.wait(
        lambda: visitor.driver.find_elements("css selector", ".scans li"), "volume that was uploaded"
    )
    assert not [line for line in visitor.complaints() if "Security Policy" in line or "WebSocket" in line]


def test_health_checks_pass_and_other_sites_do_not(proxy, server):
    host, port = proxy.split("/")[2].split(":")

    def ask(*more: str) -> bytes:
        line = socket.create_connection(("127.0.0.1", int(port)))
        with line, ssl._create_unverified_context().wrap_socket(line, server_hostname=host) as safe:
            safe.sendall(
                "\r\n".join([f"GET /?token={TOKEN} HTTP/1.1", f"Host: {host}:{port}", *more, "", ""]).encode()
            )
            return safe.recv(12)

    assert ask("Origin: https://elsewhere.example") == b"HTTP/1.1 403"
    assert (
        ask(f"Origin: https://{host}:{port}") == ask() == b"HTTP/1.1 409"
    )  # somebody is in, by the test before


def test_the_log_says_nothing(server):
    assert server.complaints() == []
