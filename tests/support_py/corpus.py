"""Real texts with real embeddings: the descriptions of Debian's packages, by LSA.

TF-IDF followed by a truncated SVD with a fixed seed, so that a machine always gets the same
vectors from the same package lists; cached beside the servers.
"""

import dataclasses
import hashlib
import os
import pathlib
import subprocess
import tempfile

import numpy

from servers.base import cache_dir

DIMENSION = 64
_VERSION = 1  # of this file's recipe


@dataclasses.dataclass
class Corpus:
    ids: list
    texts: list
    metadatas: list
    embeddings: numpy.ndarray  # float32, unit length

    def __len__(self):
        return len(self.ids)


def load(count: int = 20_000, dimension: int = DIMENSION) -> Corpus:
    packages = _packages()
    if len(packages) < count:
        raise RuntimeError(f"only {len(packages)} packages in the package lists: apt-get update")
    # A stride instead of a prefix: all sections of the archive, whatever the count.
    chosen = [packages[i * len(packages) // count] for i in range(count)]
    texts = [package["text"] for package in chosen]
    return Corpus([package["id"] for package in chosen], texts,
                  [package["metadata"] for package in chosen], _embeddings(texts, dimension))


def _packages() -> list:
    text = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True,
                          env={**os.environ, "LC_ALL": "C.UTF-8"}).stdout.decode("utf-8", "replace")
    found = {}
    for stanza in text.split("\n\n"):
        fields = {}
        for line in stanza.split("\n"):
            name, separator, value = line.partition(": ")
            if separator and not line.startswith(" "):
                fields.setdefault(name, value)
        summary = fields.get("Description") or fields.get("Description-en")
        if not summary or "Package" not in fields:
            continue
        name = fields["Package"]
        section = fields.get("Section", "misc")
        found[name] = {
            "id": name,
            "text": f"{name} ({section}): {summary}",
            "metadata": {
                "section": section,
                "priority": fields.get("Priority", "optional"),
                "size": int(fields.get("Size", "0")),
                "megabytes": round(int(fields.get("Installed-Size", "0")) / 1024, 3),
                "homepage": "Homepage" in fields,
            },
        }
    return [found[name] for name in sorted(found)]


def _embeddings(texts: list, dimension: int) -> numpy.ndarray:
    digest = hashlib.sha256(f"{_VERSION} {dimension} {len(texts)}\n".encode())
    for text in texts:
        digest.update(text.encode() + b"\n")
    path = cache_dir() / "corpus" / f"{digest.hexdigest()[:24]}.npy"
    if path.exists():
        return numpy.load(path)

    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    words = TfidfVectorizer(max_features=20_000, sublinear_tf=True).fit_transform(texts)
    reduced = TruncatedSVD(dimension, random_state=0, n_iter=4).fit_transform(words)
    reduced += 1e-4  # a text without any known word still has a direction
    embeddings = (reduced / numpy.linalg.norm(reduced, axis=1, keepdims=True)).astype(numpy.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        numpy.save(file, embeddings)
    pathlib.Path(file.name).rename(path)
    return embeddings
