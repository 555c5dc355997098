"""A certificate authority of the scripts' own, made anew by openssl for each run, and what it signs."""

import subprocess
import tempfile
from pathlib import Path

SUBJECT_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Authority:
    """Leave the `with` block to throw its keys away."""

    def __init__(self, name="interop"):
        self.folder = tempfile.TemporaryDirectory(prefix="tidegate-")
        self.path = Path(self.folder.name)
        self.serial = 1
        self.certificate, self.key = self.path / "ca.pem", self.path / "ca.key"
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name} authority", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign", "-out", self.certificate, "-keyout", self.key,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def issue(self, name, usage="serverAuth"):
        """A certificate for localhost and its key, as files `name`.pem and `name`.key, which it may replace."""
        certificate, key, request = (self.path / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        extensions = self.path / "extensions"
        extensions.write_text(f"{SUBJECT_NAMES}\nextendedKeyUsage={usage}\n")
        self.serial += 1
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-out", request, "-keyout", key,
        )
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", "2",
            "-set_serial", str(self.serial), "-extfile", extensions, "-out", certificate,
        )
        return certificate, key


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=20)
