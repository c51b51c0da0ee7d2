"""nginx and curl over HTTPS: what a plain copy with encryption does."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lan.report import CannotRun

from ..payload import GAME, Payload
from .base import CommandNode, DaemonNode, Node, Program, Site, first_line

PORT = 8443

# As Debian ships it, but for what the bench needs: its own folders, one port, no log of requests.
CONFIGURATION = """
daemon off;
user root;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    access_log off;
    keepalive_requests 1000000;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address}:{port} ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        root {root};
    }}
}}
"""


class Https(Program):
    """One nginx; every receiver is one curl that takes the files one after the other."""

    name = "https"
    swarm = False

    def version(self) -> str:
        curl = " ".join(first_line(["curl", "--version"]).split()[:2])
        nginx = first_line(["nginx", "-v"]).rpartition(" ")[2]
        return f"{nginx} (sendfile, TLS 1.3), {curl} ({first_line(['openssl', 'version']).split(' (')[0]})"

    def source(self, site: Site, payload: Payload) -> Node:
        certificate(site.folder, site.host.address)
        configuration = site.folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(
            folder=site.folder, address=site.host.address, port=PORT, root=payload.parent))
        probe = ["curl", "-sS", "--fail", "--cacert", str(site.folder / "cert.pem"), "-o", "/dev/null",
                 _url(site.host.address, payload.paths[-1])]
        return DaemonNode(site, ["nginx", "-e", str(site.folder / "error.log"), "-c", str(configuration)],
                          probe, payload.root)

    def receiver(self, site: Site, payload: Payload, source: Node) -> Node:
        copy = site.folder / GAME
        list_file = site.folder / "urls"
        list_file.write_text("".join(
            f'url = "{_url(source.site.host.address, path)}"\noutput = "{copy / path}"\n' for path in payload.paths))
        command = ["curl", "-sS", "--fail", "--create-dirs", "--cacert", str(source.site.folder / "cert.pem"),
                   "--config", str(list_file)]
        return CommandNode(site, command, copy)


def certificate(folder: Path, address: str) -> None:
    """A certificate for this address, signed by itself."""
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=bench", "-addext", f"subjectAltName=IP:{address}",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"openssl: {done.stderr.strip()}")


def _url(address: str, path: str) -> str:
    return f"https://{address}:{PORT}/{GAME}/{path}"
