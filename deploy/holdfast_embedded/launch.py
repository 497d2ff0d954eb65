"""Replaces itself by a program that the kernel ends together with its parent: the step between fork and exec.

Run as a file (`python launch.py PARENT_PID DEATH_SIGNAL IDENTITY PROGRAM ARGUMENTS...`), never imported. A process can
set its death signal and its user namespace from inside only, and a fresh interpreter does so without running Python
between fork and exec in a parent that has threads.

IDENTITY is `current` (change nothing), `user-namespace` (one in which root has an ordinary user id, for PostgreSQL
refuses to run as root) or `UID:GID` (drop root's rights for good).
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
NAMESPACE_ID = 1000  # user and group id inside the namespace; any number but 0 works


def main() -> None:
    """Change the identity, set the death signal, and exec the program."""
    parent_pid, death_signal, identity, *command = sys.argv[1:]
    change_identity(identity)
    # After the change of identity, because the kernel clears the death signal when credentials change.
    set_death_signal(int(parent_pid), int(death_signal))
    # Python ignores these two signals, and an ignored signal stays ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(command[0], command)


def change_identity(identity: str) -> None:
    """Switch to the user that the program runs as."""
    if identity == "user-namespace":
        enter_user_namespace()
    elif identity != "current":
        user_id, group_id = (int(part) for part in identity.split(":"))
        os.setgroups([])
        os.setgid(group_id)
        os.setuid(user_id)


def enter_user_namespace() -> None:
    """Enter a user namespace that maps the present user to an ordinary id; files keep their owner and mode."""
    user_id, group_id = os.geteuid(), os.getegid()
    if libc().unshare(CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no user namespace: {os.strerror(error)}")
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{NAMESPACE_ID} {user_id} 1")
    write("/proc/self/gid_map", f"{NAMESPACE_ID} {group_id} 1")


def set_death_signal(parent_pid: int, death_signal: int) -> None:
    """Ask the kernel for a signal when the parent ends. Linux only: elsewhere a killed parent leaves its children."""
    if not sys.platform.startswith("linux"):
        return
    libc().prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent ended before the call, so the kernel sends no signal
        sys.exit(f"the parent process {parent_pid} has ended already")


def libc() -> ctypes.CDLL:
    """Return the C library that this process is linked with."""
    return ctypes.CDLL(None, use_errno=True)


def write(path: str, text: str) -> None:
    """Write a file below /proc in one call, as the kernel requires."""
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
