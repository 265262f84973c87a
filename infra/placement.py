"""Where embedded servers live and whom they run as.

PostgreSQL refuses to run as root, so for root the servers run as an unprivileged account. That account must be able to
enter the data directory, which it can't below a 0700 directory such as /root. Then the data lies under SYSTEM_HOME, in a
directory named after the home, and a file in the home says where. Once written, that file decides: a home that is moved
keeps its data.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

UNPRIVILEGED_USER = "nobody"  # every system has it; initdb wants a user with a name
SYSTEM_HOME = Path("/var/lib/ledger-gateway")
DATA_LOCATION_FILE = "data-location"
PROBE_TIMEOUT_S = 20


class EmbeddedServerError(Exception):
    """An embedded server can't be started or stopped."""


class Account(NamedTuple):
    """Whom a server runs as; `None` in its place means as we do."""

    uid: int
    gid: int


def data_root(home: Path) -> Path:
    """The directory that holds the servers' own directories: the home, where the servers' account may enter it."""
    enterable_directory(home)
    home = home.resolve()
    pointer = home / DATA_LOCATION_FILE
    if pointer.exists():
        return _pointed_at(pointer)
    account = _default_account()
    if account is None or _may_enter(home, account):
        return home
    if any((home / name / "data").exists() for name in ("postgres", "valkey")):
        raise EmbeddedServerError(
            f"{home} holds data, but the user {UNPRIVILEGED_USER} may no longer enter it; open the directories above it"
        )
    root = SYSTEM_HOME / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    enterable_directory(SYSTEM_HOME)
    enterable_directory(root)
    pointer.write_text(f"{root}\n")
    return root


def account_for(directory: Path) -> Account | None:
    """Whoever owns the data goes on owning it, so that a start as root doesn't lock its ordinary user out."""
    owner = directory.stat() if directory.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise EmbeddedServerError(f"{directory} belongs to the user {owner.st_uid}; start as root or as that user")
        return None
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    return _default_account()


def enterable_directory(directory: Path) -> None:
    """To be passed through by the servers' account, whatever our umask; one that exists keeps its mode."""
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)


def own_directory(directory: Path, account: Account | None) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(directory, account.uid, account.gid)


def packaged_program(package: str, program: str, account: Account | None) -> Path:
    """The path of a program inside an installed package, or of a copy where the account can't reach the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(f"The package {package} is not installed")
    installed = Path(spec.submodule_search_locations[0]).resolve()
    if not (installed / program).is_file():
        raise EmbeddedServerError(f"{package} brings no {program} for this machine")
    if account is None or _may_run(installed / program, account):
        return installed / program
    return _copied(installed) / program


def _default_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def _pointed_at(pointer: Path) -> Path:
    root = Path(pointer.read_text().strip())
    if not root.is_dir():
        # Starting on an empty database instead would look like losing everything.
        raise EmbeddedServerError(
            f"{pointer} says that the data is in {root}, which is missing; restore it, or delete {pointer} to start anew"
        )
    return root


def _may_enter(directory: Path, account: Account) -> bool:
    return _succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)], account)


def _may_run(program: Path, account: Account) -> bool:
    return _succeeds([str(program), "--version"], account)


def _succeeds(command: list[str], account: Account) -> bool:
    """Ask the kernel by trying: modes alone don't know of access lists and mount options."""
    try:
        tried = subprocess.run(  # noqa: S603 - our own programs
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=(),
        )
    except PermissionError:
        return False
    return tried.returncode == 0


def _copied(installed: Path) -> Path:
    """A copy of the package, with the libraries that its wheel bundles beside it, where everybody may read it."""
    package = installed.name
    copies = SYSTEM_HOME / "programs"
    copy = copies / f"{package}-{importlib.metadata.version(package)}"
    if not copy.exists():
        enterable_directory(SYSTEM_HOME)
        enterable_directory(copies)
        draft = Path(tempfile.mkdtemp(dir=copies))
        for part in (installed, installed.with_name(f"{package}.libs")):
            if part.exists():
                shutil.copytree(part, draft / part.name, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            draft.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
            if not copy.exists():
                raise
    return copy / package
