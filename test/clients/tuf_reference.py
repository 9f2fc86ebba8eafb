"""python-tuf, the reference implementation of TUF: its client on our registry, our client on its repository."""

import datetime
import functools
import http.server
import os
import subprocess
import tempfile
import threading
import urllib.request

from checks import check, equal, run_checks
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater

SOON = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
CONTENT = b"hello from python"


def updater(address):
    base = f"http://{address}/tuf/"
    with urllib.request.urlopen(base + "1.root.json") as answer:
        root = answer.read()
    folder = tempfile.mkdtemp(dir=os.environ["FOLDER"])
    return Updater(
        metadata_dir=folder,
        metadata_base_url=base,
        target_dir=folder,
        target_base_url="http://nowhere.invalid/",
        bootstrap=root,
    )


@check("its client takes our metadata, along a root that was rotated")
def refresh(address):
    client = updater(address)
    client.refresh()
    equal(client._trusted_set.root.version, 2)


@check("its client finds a published version through the family's delegation, with our release")
def find(address):
    target = updater(address).get_targetinfo("models/vision/simple/1.json")
    equal(target.custom, {"release": 1})
    equal(len(target.hashes["sha256"]), 64)


@check("its client finds the director's key, and nothing in a family that is not there")
def find_others(address):
    client = updater(address)
    assert client.get_targetinfo("keys/director.json") is not None
    equal(client.get_targetinfo("models/audio/vad/1.json"), None)


class Repository:
    """Made and signed by python-tuf, with a kind of key for each role, and served over HTTP."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(dir=os.environ["FOLDER"])
        self.signers = {
            Root.type: CryptoSigner.generate_ecdsa(),
            Targets.type: CryptoSigner.generate_rsa(),
            Snapshot.type: CryptoSigner.generate_ed25519(),
            Timestamp.type: CryptoSigner.generate_ecdsa(),
        }
        self.root = Root(expires=SOON)
        for role, signer in self.signers.items():
            self.root.add_key(signer.public_key, role)
        self.targets = Targets(expires=SOON)
        self.targets.targets["file.txt"] = TargetFile.from_data("file.txt", CONTENT, ["sha256"])
        self.snapshot = Snapshot(expires=SOON)
        self.timestamp = Timestamp(expires=SOON)
        name = self.targets.targets["file.txt"].hashes["sha256"] + ".file.txt"
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(CONTENT)
        self.publish()
        serve = functools.partial(Quiet, directory=self.folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self):
        for name, signed in [
            ("1.root", self.root),
            ("1.targets", self.targets),
            (f"{self.snapshot.version}.snapshot", self.snapshot),
            ("timestamp", self.timestamp),
        ]:
            metadata = Metadata(signed)
            metadata.sign(self.signers[signed.type])
            metadata.to_file(os.path.join(self.folder, f"{name}.json"))

    def limpet(self, *command):
        url = f"http://127.0.0.1:{self.server.server_port}"
        options = ["--metadata-dir", f"{self.folder}/trusted", "--metadata-url", url]
        targets = ["--target-name", "file.txt", "--target-dir", f"{self.folder}/got", "--target-base-url", url]
        done = subprocess.run(
            [os.environ["LIMPET"], "tuf", *options, *targets, *command],
            env={"LIMPET_STATE": f"{self.folder}/state", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stderr


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@check("our client takes its metadata, signed with ecdsa, rsa and ed25519, and the file that it lists")
def download(_address):
    repository = Repository()
    equal(repository.limpet("init", f"{repository.folder}/1.root.json"), (0, ""))
    equal(repository.limpet("download"), (0, ""))
    with open(f"{repository.folder}/got/file.txt", "rb") as file:
        equal(file.read(), CONTENT)


@check("what it signs with a key that its root does not name, our client refuses")
def stranger(_address):
    repository = Repository()
    equal(repository.limpet("init", f"{repository.folder}/1.root.json"), (0, ""))
    repository.signers[Timestamp.type] = CryptoSigner.generate_ecdsa()
    repository.publish()
    code, words = repository.limpet("refresh")
    equal(code, 1)
    assert "was signed by 0/1 keys" in words, words


@check("both refuse the same expired timestamp")
def expired(_address):
    repository = Repository()
    equal(repository.limpet("init", f"{repository.folder}/1.root.json"), (0, ""))
    repository.timestamp.expires = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    repository.publish()
    code, words = repository.limpet("refresh")
    equal(code, 1)
    assert "expired" in words, words
    url = f"http://127.0.0.1:{repository.server.server_port}/"
    with open(f"{repository.folder}/1.root.json", "rb") as file:
        client = Updater(tempfile.mkdtemp(dir=os.environ["FOLDER"]), url, bootstrap=file.read())
    try:
        client.refresh()
    except (ExpiredMetadataError, RepositoryError):
        return
    raise AssertionError("python-tuf took it")


run_checks()
