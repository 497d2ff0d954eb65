"""Become a program that dies with its parent: the last step between a fork and the program itself.

Run as a file (`python launch.py PARENT_PID DEATH_SIGNAL IDENTITY PROGRAM ARGUMENTS...`), never imported. The kernel
gives these properties to a process from inside only, and a fresh interpreter can take them without running
Python between fork and exec in a parent that has threads.

IDENTITY is `same` (change nothing), `guest` (a user namespace in which root is an ordinary user, for PostgreSQL
refuses to run as root) or `UID:GID` (give up root for good).
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
GUEST_ID = 1000  # what root is called inside the namespace; any number but 0 will do


def main() -> None:
    """Take the identity, tie this life to the parent's, and become the program."""
    parent_pid, death_signal, identity, *command = sys.argv[1:]
    take_identity(identity)
    # After the identity, for the kernel forgets the death signal when credentials change.
    die_with_parent(int(parent_pid), int(death_signal))
    # Python ignores these two; an ignored signal would stay ignored in the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(command[0], command)


def take_identity(identity: str) -> None:
    """Become who the program may run as."""
    if identity == "guest":
        become_guest()
    elif identity != "same":
        user_id, group_id = (int(part) for part in identity.split(":"))
        os.setgroups([])
        os.setgid(group_id)
        os.setuid(user_id)


def become_guest() -> None:
    """Enter a user namespace in which our own user has an ordinary number; files keep their owner and mode."""
    user_id, group_id = os.geteuid(), os.getegid()
    if libc().unshare(CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no user namespace: {os.strerror(error)}")
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{GUEST_ID} {user_id} 1")
    write("/proc/self/gid_map", f"{GUEST_ID} {group_id} 1")


def die_with_parent(parent_pid: int, death_signal: int) -> None:
    """Ask the kernel for a signal when the parent ends; Linux only, elsewhere a killed parent leaves its children."""
    if not sys.platform.startswith("linux"):
        return
    libc().prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:  # it ended before we asked, so the kernel will tell nobody
        sys.exit(f"the parent process {parent_pid} has ended already")


def libc() -> ctypes.CDLL:
    """Return the C library of this very process."""
    return ctypes.CDLL(None, use_errno=True)


def write(path: str, text: str) -> None:
    """Write one line to a file of the kernel's, in one call."""
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
