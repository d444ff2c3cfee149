"""Add what the sandbox's namespaces need to a container runtime's default seccomp profile.

`seccomp-userns.py [PROFILE]` reads the profile from the file or from standard input and
writes the new one to standard output.
"""

from __future__ import annotations

import json
import sys

NEEDED = ["clone", "mount", "mount_setattr", "pivot_root", "setns", "umount2", "unshare"]


def main() -> None:
    """Read, add, write."""
    with open(sys.argv[1]) if len(sys.argv) > 1 else sys.stdin as file:
        profile = json.load(file)
    profile["syscalls"].append({"names": NEEDED, "action": "SCMP_ACT_ALLOW"})
    json.dump(profile, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
