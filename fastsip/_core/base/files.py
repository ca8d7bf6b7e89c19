"""Folders that hold our state, and the files in them: nobody else's, and never by a link.

run_dir may lie where everybody may make folders (/dev/shm): whoever was there first could have put links into one
that has our name, or exchange files of ours.  So each folder on the way must be root's or ours and not open to all
(unless it is sticky), the last one ours alone, and a file a plain one of ours with one name.

    make_folder(path)              there, and ours alone
    open_file(path, flags)         a descriptor; for whoever writes or relies on what it holds
    read_file, replace_file        all of it
    look_into(path)                a descriptor for whoever only looks, at another user's files, too
    remove_files(path, is_ours)    those of a folder that have our names
    keep_aside(path, why)          what cannot be read is renamed and kept (docs/design.md#bad-input-and-bounds)
    boot_id()                      what tells one boot of the machine from the next, for what holds no longer than that

Must never: follow a link, wait for a fifo, or remove what it did not make.
"""

import functools
import os
import stat
import time
from pathlib import Path

ASIDE = ".damaged-"
MOST_LINKS = 40
CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class UnsafeError(OSError):
    """Somebody else could write there; the text says where and what would help."""

    def __init__(self, words):
        super().__init__(words)
        self.strerror = words


def _check_owner(found, place):
    if found.st_uid not in (0, os.geteuid()):
        raise UnsafeError(f"{place} belongs to user {found.st_uid}, who could put anything there")


def _check_way(found, place):
    """A folder on the way."""
    _check_owner(found, place)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise UnsafeError(f"{place}: everybody may write there; run: chmod o-w {place}")


def _check_ours(found, place):
    """A folder or a file that we work with."""
    if found.st_uid != os.geteuid():
        raise UnsafeError(f"{place} belongs to user {found.st_uid}, not to {os.geteuid()}, who runs this")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeError(f"{place}: others may write there; run: chmod go-w {place}")


def open_folder(path):
    """A descriptor of a folder that is ours alone.  UnsafeError when it is not, OSError when it is not there."""
    todo, links, place = [*reversed(Path(path).absolute().parts[1:])], 0, "/"
    here = os.open("/", FOLDER)
    try:
        _check_way(os.fstat(here), place)
        while todo:
            name = todo.pop()
            place = os.path.join(place, name)
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if not todo or links > MOST_LINKS:
                    raise UnsafeError(f"{place} is a link; name the folder itself")
                _check_owner(found, place)
                target = Path(os.readlink(name, dir_fd=here))
                todo += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                name, place = ("/", "/") if target.is_absolute() else (".", os.path.dirname(place))
            before, here = here, os.open(name, FOLDER, dir_fd=here)
            os.close(before)
            (_check_way if todo else _check_ours)(os.fstat(here), place)
        return here
    except NotADirectoryError:
        os.close(here)
        raise UnsafeError(f"{place} is not a folder") from None
    except BaseException:
        os.close(here)
        raise


def make_folder(path):
    """Makes it if it is not there.  UnsafeError when it is not ours alone, OSError when it cannot be made."""
    try:
        folder = open_folder(path)
    except FileNotFoundError:
        Path(path).mkdir(mode=0o750, parents=True, exist_ok=True)
        folder = open_folder(path)
    os.close(folder)


def _check_plain(found, place):
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeError(f"{place} is not a plain file")


def _open(name, flags, mode, folder, place):
    try:
        return os.open(name, flags | CAREFUL, mode, dir_fd=folder)
    except OSError as error:
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            raise error from None
        if stat.S_ISLNK(found.st_mode):
            raise UnsafeError(f"{place} is a link, which is not followed") from None
        _check_plain(found, place)
        raise


def open_file(path, flags, mode=0o640):
    """A descriptor of a plain file of ours.  UnsafeError when it is another's, or something else."""
    path = Path(path)
    folder = open_folder(path.parent)
    try:
        fd = _open(path.name, flags & ~os.O_TRUNC, mode, folder, path)
    finally:
        os.close(folder)
    try:
        found = os.fstat(fd)
        _check_plain(found, path)
        _check_ours(found, path)
        if found.st_nlink > 1:
            raise UnsafeError(f"{path} has another name somewhere; remove it")
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def look_into(path):
    """A descriptor of a plain file, whoever's it is, for reading alone."""
    fd = _open(os.fspath(path), os.O_RDONLY, 0, None, path)
    try:
        _check_plain(os.fstat(fd), path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def look_at(path):
    """All that a file holds, whoever's it is."""
    with open(look_into(path), "rb") as file:
        return file.read()


def read_file(path):
    """All that a file of ours holds."""
    with open(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read()


def open_fresh(path, mode=0o640):
    """A new file in the place of whatever had this name."""
    Path(path).unlink(missing_ok=True)
    return open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)


def replace_file(path, content):
    """A reader finds the old file or the new one, whole; OSError: the old one is as it was."""
    fresh = Path(path).with_suffix(".new")
    with open(open_fresh(fresh), "wb") as file:
        file.write(content)
    os.replace(fresh, path)


def remove_files(path, is_ours):
    """Of a folder that is ours alone, those whose name `is_ours` finds to be so, whatever they are; no folder and no
    such file is well.  OSError: the folder is not ours, or one could not be removed, which is said when all others are.
    """
    try:
        folder = open_folder(path)
    except FileNotFoundError:
        return
    failed = None
    try:
        inside = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            for name in filter(is_ours, os.listdir(inside)):
                try:
                    os.unlink(name, dir_fd=inside)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    failed = error
        finally:
            os.close(inside)
    finally:
        os.close(folder)
    if failed:
        raise failed


def keep_aside(place: Path, why: str) -> str:
    """Renames a file that cannot be read; the note for the log."""
    aside = place.with_name(f"{place.name}{ASIDE}{time.time_ns()}")
    place.rename(aside)
    return f"{place} could not be read ({why}): kept as {aside}, started empty"


@functools.cache
def boot_id() -> bytes:
    """36 letters that differ from boot to boot, as the kernel writes them."""
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
