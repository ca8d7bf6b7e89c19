"""Certificates that tests serve with, made by openssl."""

import subprocess
from pathlib import Path


def make_certificate(place: Path, name: str = "api", *, key: str = "ec") -> tuple[Path, Path]:
    """For 127.0.0.1, signed by itself: its file and that of its key, which has a password when `key` is "locked"."""
    certificate, private = place / f"{name}.pem", place / f"{name}.key"
    lock = ["-passout", "pass:secret"] if key == "locked" else ["-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *lock, "-days", "30",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", private, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, private
