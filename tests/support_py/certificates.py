"""Certificates for tests of TLS, made by the openssl program."""

import pathlib
import subprocess


class Authority:
    """Signs certificates for 127.0.0.1 and localhost. `file` is what those need who shall believe it."""

    def __init__(self, directory, name: str):
        self._directory, self._name = pathlib.Path(directory), name
        self.file, self._key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                 "-keyout", self._key, "-out", self.file)

    def issue(self, name: str) -> tuple:
        """The files of a certificate and of its key."""
        paths = [self._directory / f"{self._name}-{name}.{suffix}" for suffix in ("pem", "key", "request", "names")]
        certificate, key, request, names = paths
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", "2",
                 "-extfile", names, "-out", certificate)
        return certificate, key


def _openssl(*arguments) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
