"""The node's own certificate authority, by openssl: keys, certificates and kubeconfigs. Called by node.py.

Made once and kept: a cluster that was removed and brought back answers to the same kubeconfig.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import layout as names
from hack.cluster.layout import Layout
from hack.cluster.process import run

DAYS = "3650"
CURVE = "prime256v1"


@dataclass(frozen=True, slots=True)
class Identity:
    """One certificate: its file name, its subject and the names it answers to."""

    name: str
    subject: str
    alternatives: tuple[str, ...] = ()
    kubeconfig: bool = True


IDENTITIES = (
    Identity(
        "kube-apiserver",
        "/CN=kube-apiserver",
        (
            f"IP:{names.NODE_ADDRESS}",
            "IP:127.0.0.1",
            f"IP:{names.API_ADDRESS}",
            "DNS:kubernetes",
            "DNS:kubernetes.default",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local",
            "DNS:localhost",
        ),
        kubeconfig=False,
    ),
    Identity("admin", "/O=system:masters/CN=admin"),
    Identity("kube-controller-manager", "/CN=system:kube-controller-manager"),
    Identity("kube-scheduler", "/CN=system:kube-scheduler"),
    Identity(
        "kubelet",
        f"/O=system:nodes/CN=system:node:{names.NODE_NAME}",
        (f"IP:{names.NODE_ADDRESS}", f"DNS:{names.NODE_NAME}"),
    ),
    Identity("kube-proxy", "/CN=system:kube-proxy"),
    Identity("front-proxy", "/CN=front-proxy-client", kubeconfig=False),
)


def extensions(identity: Identity) -> str:
    """Render the certificate's extension file."""
    lines = ["basicConstraints=CA:FALSE", "keyUsage=digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
    if identity.alternatives:
        lines.append(f"subjectAltName={','.join(identity.alternatives)}")
    return "\n".join(lines) + "\n"


def kubeconfig(pki: Path, user: str) -> str:
    """Render a kubeconfig that names the certificate's files."""
    return f"""apiVersion: v1
kind: Config
clusters:
- name: shoal
  cluster: {{server: "https://{names.NODE_ADDRESS}:{names.API_PORT}", certificate-authority: "{pki}/ca.crt"}}
users:
- name: {user}
  user: {{client-certificate: "{pki}/{user}.crt", client-key: "{pki}/{user}.key"}}
contexts:
- name: shoal
  context: {{cluster: shoal, user: {user}}}
current-context: shoal
"""


def issue(folder: Path, identity: Identity) -> None:
    """Make a key and have our authority sign its certificate."""
    key, request, certificate = (folder / f"{identity.name}.{end}" for end in ("key", "csr", "crt"))
    extension_file = folder / f"{identity.name}.ext"
    extension_file.write_text(extensions(identity))
    run(["openssl", "ecparam", "-genkey", "-name", CURVE, "-noout", "-out", key])
    run(["openssl", "req", "-new", "-key", key, "-subj", identity.subject, "-out", request])
    sign: list[str | Path] = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        folder / "ca.crt",
        "-CAkey",
        folder / "ca.key",
    ]
    run([*sign, "-CAcreateserial", "-days", DAYS, "-extfile", extension_file, "-out", certificate])


def prepare(layout: Layout) -> None:
    """Make all certificates and kubeconfigs unless a complete set is there; a half-made set is made anew."""
    complete = layout.pki / "complete"
    if not complete.exists():
        shutil.rmtree(layout.pki, ignore_errors=True)
        layout.pki.mkdir(parents=True, mode=0o700)
        authority = layout.pki / "ca"
        run(["openssl", "ecparam", "-genkey", "-name", CURVE, "-noout", "-out", authority.with_suffix(".key")])
        req: list[str | Path] = [
            "openssl",
            "req",
            "-x509",
            "-new",
            "-key",
            authority.with_suffix(".key"),
            "-subj",
            "/CN=shoal-local-ca",
        ]
        run([*req, "-days", DAYS, "-out", authority.with_suffix(".crt")])
        for identity in IDENTITIES:
            issue(layout.pki, identity)
        run(["openssl", "genrsa", "-out", layout.pki / "service-accounts.key", "2048"])
        public = layout.pki / "service-accounts.pub"
        run(["openssl", "rsa", "-in", layout.pki / "service-accounts.key", "-pubout", "-out", public])
        complete.touch()
    layout.config.mkdir(parents=True, exist_ok=True)
    for identity in IDENTITIES:
        if identity.kubeconfig:
            target = layout.config / f"{identity.name}.kubeconfig"
            target.write_text(kubeconfig(layout.pki, identity.name))
            target.chmod(0o600)
    layout.kubeconfig.write_text(kubeconfig(layout.pki, "admin"))
    layout.kubeconfig.chmod(0o600)
