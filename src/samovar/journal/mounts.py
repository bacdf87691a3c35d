"""Whether a folder is on a file system of another machine, where SQLite's log cannot be used.

Above: `connecting.py`. Below: the system's list of mounts, on Linux; elsewhere nothing is known.
"""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
OVER_NETWORKS = ("9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "smb", "vboxsf")
"""The beginnings of their types."""
_FUSE = ("fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "fuse.rclone", "fuse.gcsfuse")


def is_over_network(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether what is in `folder` is kept by another machine, or by the host of a virtual one."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        whole = folder.resolve()
    except (OSError, RuntimeError):
        return False
    nearest, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        parts = before.split(" ")
        if len(parts) < 5 or not after:
            continue
        mount = Path(parts[4].encode().decode("unicode_escape", "replace") if "\\" in parts[4] else parts[4])
        if whole.is_relative_to(mount) and len(mount.parts) >= nearest:  # the later one is above
            nearest, kind = len(mount.parts), after.split(" ")[0]
    return kind.startswith(OVER_NETWORKS) or kind in _FUSE
