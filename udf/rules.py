"""Under which conditions users' code is run; one frozen object, made of the server's settings. Picklable and light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class PackageRules:
    """From where packages that users' code asks for are installed, and where they are kept.

    Parameters
    ----------
    index : str
        URL of a simple package index, or a folder of wheels.
    folder : Path
        Holds one folder for each user.
    seconds : float
        Longest installation.
    bytes : int
        Most bytes of one set of packages, as wheels and unpacked.
    sets : int
        Most sets of packages of a user.
    """

    index: str
    folder: Path
    seconds: float = 300.0
    bytes: int = 1024 * MIB
    sets: int = 10


@dataclass(frozen=True)
class UserCodeRules:
    """Whether and how users' code is run.

    Parameters
    ----------
    refused : str, optional
        Why no code is run; None where it is.
    unsafe : bool
        Whether code is run without isolation where the system offers none.
    user : str
        Whose code it is.
    memory, cpu_seconds, wall_seconds : int, float, float
        Limits of one sandbox and one call.
    code_bytes : int
        Longest source.
    packages : PackageRules, optional
        None where no packages are installed.
    models : tuple of Path, optional
        Folders of models, beside those of the product, that users' code may run; None where it may run none.
    """

    refused: str | None = None
    unsafe: bool = False
    user: str = ""
    memory: int = 2048 * MIB
    cpu_seconds: float = 300.0
    wall_seconds: float = 600.0
    code_bytes: int = MIB
    packages: PackageRules | None = None
    models: tuple[Path, ...] | None = None
