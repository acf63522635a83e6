"""Where machine code is kept between processes, and what is believed of it."""

import hashlib
import importlib.resources
import operator
import os
import pickle
import platform
import stat
import sys
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import ClassVar

import llvmlite
import numba
from numba.core import caching
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

_GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnsafeFolderError(OSError):
    """Somebody else can put files, and with them machine code, into a folder."""


def _fingerprint():
    """Hash of all that the compiled code depends on.

    Numba's own cache looks at the file that defines a function and misses an edited
    callee in another file, so the folder's name carries the sources of all kernels.
    """
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    versions = (numba.__version__, llvmlite.__version__, sys.version)
    machine = cpu_target.target_context.codegen().magic_tuple()
    config = numba.config
    options = (config.BOUNDSCHECK, config.OPT, config.LOOP_VECTORIZE)
    digest.update(repr((versions, machine, platform.machine(), options)).encode())
    return digest.hexdigest()[:16]


def _sources():
    """Return the files of this package, which may lie in a zip file or be compiled."""
    return [*_sources_in(importlib.resources.files(__package__.rpartition(".")[0]))]


def _sources_in(folder):
    for found in sorted(folder.iterdir(), key=operator.attrgetter("name")):
        if found.name.endswith((".py", ".pyc")):
            yield found
        elif found.is_dir() and found.name != "__pycache__":
            yield from _sources_in(found)


def _places(chosen):
    """Folders that may hold the cache, the preferred one first."""
    if chosen is not None:
        yield chosen
    if numba.config.CACHE_DIR:
        yield Path(numba.config.CACHE_DIR) / "fastmlp"
    yield Path(__file__).parent / "__pycache__"
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        # As in a container whose user has no name.
        return
    yield home / "fastmlp"


def open_folder():
    """Return the first folder that this user can write to and nobody else can, or None.

    Warns where there is none, and where it is not the one that the user chose or
    because somebody else can write to one before it.
    """
    reasons, folder = [], None
    chosen = os.environ.get("FASTMLP_CACHE_DIR")
    chosen = Path(chosen).expanduser() if chosen else None
    if not SOURCES:
        reasons.append("Its sources, by which versions are told apart, are not found.")
    for place in _places(chosen) if SOURCES else ():
        try:
            _make_path(place)
            folder = place.resolve() / f"fastmlp-{FINGERPRINT}"
            make_private(folder)
            tempfile.TemporaryFile(dir=folder).close()
            break
        except OSError as error:
            folder = None
            if isinstance(error, UnsafeFolderError) or place == chosen:
                reasons.append(f"{place} is not used: {error}.")
    if reasons or folder is None:
        instead = (
            "compiles its kernels anew in every process, having found no folder to "
            "keep them in."
            if folder is None
            else f"keeps its compiled kernels in {folder}."
        )
        remedy = "Set FASTMLP_CACHE_DIR to a folder that you alone can write to."
        warnings.warn(
            " ".join([f"fastmlp {instead}", *reasons, remedy]),
            RuntimeWarning,
            stacklevel=2,
        )
    return folder


def _make_path(place):
    """Make a folder and those above it that only this user can write to."""
    for each in (*reversed(place.parents), place):
        if not each.exists():
            # Whatever the umask is.
            each.mkdir(0o755, exist_ok=True)


def make_private(folder):
    """Make a folder that nobody else can write to, or see that it is one.

    Parameters
    ----------
    folder : pathlib.Path
        Resolved, but for the last part.

    Raises
    ------
    UnsafeFolderError
        If somebody else owns it or can write to it, or can put another one in its
        place.
    OSError
        If it cannot be made.
    """
    folder.mkdir(0o700, exist_ok=True)
    if os.name == "nt":
        return
    user, found = os.getuid(), folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFolderError(f"{folder} is a link")
    if found.st_uid != user or found.st_mode & _GROUP_OR_OTHERS:
        raise UnsafeFolderError(f"somebody else can write to {folder}")
    # Who can replace the package itself needs no cache for it.
    trusted = Path(__file__).resolve().parents
    for parent in folder.parents:
        if parent not in trusted:
            _check_parent(parent.stat(), parent, user)


def _check_parent(found, parent, user):
    """Refuse a folder in which somebody else can put another one in a folder's place.

    Root can do so anywhere, and is trusted.
    """
    if found.st_uid not in (0, user):
        raise UnsafeFolderError(f"{parent} is somebody else's")
    # In one like /tmp only the owners of an entry and of the folder replace it.
    if found.st_mode & stat.S_ISVTX:
        return
    if found.st_mode & stat.S_IWOTH:
        raise UnsafeFolderError(f"everybody can write to {parent}")
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid, user):
        raise UnsafeFolderError(f"a group can write to {parent}")


def _is_own_group(group, user):
    """Whether a group is root's, or the one that many systems give each user."""
    import grp
    import pwd

    try:
        return group == 0 or grp.getgrgid(group).gr_name == pwd.getpwuid(user).pw_name
    except KeyError:
        return False


class _Locator(caching._CacheLocator):
    """Where machine code lies: the folder's name carries the whole fingerprint."""

    def __init__(self, path):
        self._py_file = path

    def get_cache_path(self):
        return str(FOLDER)

    def get_source_stamp(self):
        return FINGERPRINT

    def get_disambiguator(self):
        return ""

    @classmethod
    def from_function(cls, function, path):
        return cls(path)


class _EntryCacheImpl(caching.CompileResultCacheImpl):
    _locator_classes: ClassVar = [_Locator]


class _SealedFile:
    """One compiled kernel behind the digest of its bytes, its name and the fingerprint.

    What was cut short, altered, or belongs to another kernel or version is not even
    unpickled. In the place of Numba's index, which names data files of any content;
    its key is not needed where each kernel has a file of its own.

    Parameters
    ----------
    name : str
        Of the kernel and its types.
    """

    def __init__(self, name):
        self._name = name
        self._path = FOLDER / f"{name}.kernel"

    def load(self, key):
        """Return what was saved; None if nothing was."""
        make_private(FOLDER)
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        seal = self._seal(content[hashlib.sha256().digest_size :])
        if not content.startswith(seal):
            raise ValueError(f"{self._path.name} is damaged or of another version")
        return pickle.loads(content[len(seal) :])

    def save(self, key, data):
        """Write `data`, at once for all who read."""
        make_private(FOLDER)
        content = dumps(data)
        written = self._path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            written.write_bytes(self._seal(content) + content)
            written.replace(self._path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise

    def flush(self):
        """Remove what was saved."""
        self._path.unlink(missing_ok=True)

    def _seal(self, content):
        named = f"{FINGERPRINT} {self._name}\n".encode()
        return hashlib.sha256(named + content).digest()


class EntryCache(caching.FunctionCache):
    """Numba's cache, for which a file that cannot be read is a file that is not there.

    It is then compiled anew and written over; one warning a process says so.
    """

    _impl_class = _EntryCacheImpl
    _has_warned: ClassVar = False

    def __init__(self, function, name):
        super().__init__(function)
        self._entry_name = name
        self._cache_file = _SealedFile(name)

    def _index_key(self, sig, codegen):
        # The file's name says it all. Numba's key would hash what a closure holds, and
        # a compiled function in it hashes differently in every process.
        return None

    def _open(self, sig):
        digest = hashlib.sha256(repr(sig).encode()).hexdigest()[:16]
        self._cache_file = _SealedFile(f"{self._entry_name}-{digest}")

    def load_overload(self, sig, target_context):
        """Return the compiled function for these types, or None."""
        self._open(sig)
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            self._warn("read", error)
            return None

    def save_overload(self, sig, data):
        """Keep the compiled function for these types."""
        self._open(sig)
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self._warn("write", error)

    def _warn(self, verb, error):
        if EntryCache._has_warned:
            return
        EntryCache._has_warned = True
        warnings.warn(
            f"fastmlp could not {verb} some of its compiled kernels in "
            f"{self.cache_path} ({type(error).__name__}: {error}) and compiles them "
            "anew.",
            RuntimeWarning,
            stacklevel=2,
        )


SOURCES = _sources()
FINGERPRINT = _fingerprint()
FOLDER = open_folder()
