"""Hostile user code that takes too much or lies to the server; see `hostile_code`."""

from __future__ import annotations

from tests.attacks.attack import MIB, Attack

AMOUNTS = [
    Attack(
        "fills the memory with arrays",
        "import numpy as np\nkept = []\nwhile True: kept.append(np.ones(1 << 20))",
        ("memory",),
        limits={"memory": 256 * MIB},
    ),
    Attack(
        "fills the memory with objects",
        "kept = []\nwhile True: kept.append([0] * 1000)",
        ("memory",),
        limits={"memory": 256 * MIB},
    ),
    Attack(
        "fills shared memory",
        "import mmap\nkept = []\n"
        "while True:\n    kept.append(mmap.mmap(-1, 1 << 24))\n    kept[-1].write(b'x' * (1 << 24))",
        ("memory", "error"),
        says=("Cannot allocate memory",),
        limits={"memory": 256 * MIB},
    ),
    Attack(
        "hides that the memory is full",
        "import numpy as np, time\nkept = []\n"
        "while True:\n"
        "    try: kept.append(np.ones(1 << 18))\n"
        "    except MemoryError: time.sleep(0.01)",
        ("memory", "cpu", "time"),
        limits={"memory": 256 * MIB, "wall_seconds": 1.5},
    ),
    Attack("loops", "while True: pass", ("cpu",), limits={"cpu_seconds": 0.5}),
    Attack(
        "loops and ignores signals",
        "import signal\n"
        "for n in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\n"
        "while True: pass",
        ("cpu",),
        limits={"cpu_seconds": 0.5},
    ),
    Attack(
        "loops in threads",
        "import threading, hashlib\ndata = bytes(1 << 20)\n"
        "def work():\n    while True: hashlib.sha256(data)\n"
        "for _ in range(4): threading.Thread(target=work).start()\nwork()",
        ("cpu",),
        limits={"cpu_seconds": 0.5},
    ),
    Attack("sleeps", "import time\ntime.sleep(1000)", ("time",), limits={"wall_seconds": 0.5}),
    Attack(
        "answers and goes on",
        "import json, os, struct, time\n"
        'body = b\'{"answer": {}, "arrays": []}\'\n'
        "for n in range(3, 64):\n"
        "    try: os.write(n, struct.pack('<cI', b'A', len(body)) + body)\n"
        "    except OSError: pass\n"
        "time.sleep(1000)",
        ("harmless",),
    ),
    Attack(
        "opens files without end",
        "import os\nkept = [os.open('/dev/null', 0) for _ in range(10_000)]\nanswer = {'got': len(kept)}",
        says=("Too many open files",),
    ),
    Attack(
        "opens pipes without end", "import os\nkept = [os.pipe() for _ in range(10_000)]", says=("Too many open files",)
    ),
    Attack(
        "returns too much",
        "import numpy as np\nmade = [np.zeros(1 << 20), np.zeros(8 << 20)]",
        ("output",),
        limits={"output_bytes": 32 * MIB},
    ),
    Attack(
        "floods the log past its sender",
        "import os, struct\n"
        "body = b'{\"message\": \"x\"}'\nframe = struct.pack('<cI', b'L', len(body)) + body\n"
        "fds = []\n"
        "for n in range(3, 64):\n"
        "    try: os.write(n, frame); fds.append(n)\n"
        "    except OSError: pass\n"
        "while True:\n"
        "    for n in fds: os.write(n, frame)",
        ("output",),
    ),
]

_FORGED = (
    "import json, os, struct\n"
    "def forge(letter, body):\n"
    "    for n in range(3, 64):\n"
    "        try: os.write(n, struct.pack('<cI', letter, len(body)) + body)\n"
    "        except OSError: pass\n"
    "def listed(**place): forge(b'A', json.dumps({'answer': {}, 'arrays': [place]}).encode())\n"
)

LIES = [
    Attack(
        "returns objects",
        "import numpy as np\nclass Bad:\n    def __reduce__(self): return (print, ('unpickled',))\n"
        "made = [np.array([Bad()], object)]",
        ("refused",),
    ),
    Attack("answers with what is no JSON", "answer = {'got': open}", says=("not JSON serializable",)),
    Attack(
        "sends rubbish",
        "import os, time\n"
        "for n in range(3, 64):\n"
        "    try: os.write(n, b'\\x80\\x04pickle' * 100)\n"
        "    except OSError: pass\n"
        "time.sleep(9)",
        ("output",),
    ),
    Attack(
        "sends a message that is too long",
        _FORGED + "import time\nforge(b'L', b'x' * (1 << 20))\ntime.sleep(9)",
        ("output",),
    ),
    Attack("sends deep JSON", _FORGED + "forge(b'A', b'[' * 1_000_000)\nimport time; time.sleep(9)", ("output",)),
    Attack("points outside its memory", _FORGED + "listed(dtype='<f8', shape=[1 << 30], offset=1 << 40)", ("refused",)),
    Attack("points before its memory", _FORGED + "listed(dtype='<f8', shape=[4], offset=-64)", ("refused",)),
    Attack(
        "describes more than there is",
        _FORGED + "listed(dtype='<f8', shape=[1 << 39, 1 << 39], offset=0)",
        ("refused",),
    ),
    Attack("describes objects", _FORGED + "listed(dtype='|O8', shape=[4], offset=0)", ("refused",)),
    Attack("describes nonsense", _FORGED + "listed(dtype=7, shape='x', offset=None)", ("refused",)),
    Attack(
        "returns truth values that are neither",
        "import numpy as np\nmade = [np.array([7, 8], np.uint8).view(bool)]",
        ("refused",),
    ),
    Attack(
        "returns text that is no text",
        "import numpy as np\nmade = [np.array([0xFFFFFFFF], np.uint32).view('<U1')]",
        ("refused",),
    ),
    Attack(
        "shrinks the shared memory",
        "import os\nfailed = 0\n"
        "for n in range(3, 64):\n"
        "    for size in (0, 1 << 40):\n"
        "        try: os.ftruncate(n, size); answer = {'got': n}\n"
        "        except OSError: failed += 1\n"
        "if not answer: raise PermissionError('none')",
    ),
    Attack(
        "reads the shared output",
        "import fcntl, mmap, os\n"
        "for n in range(3, 64):\n"
        "    try: size, mode = os.fstat(n).st_size, fcntl.fcntl(n, fcntl.F_GETFL) & 3\n"
        "    except OSError: continue\n"
        "    if mode == 0: continue  # its own input\n"
        "    for attempt in (lambda: os.pread(n, 1, 0), lambda: mmap.mmap(n, size or 1)):\n"
        "        try: attempt(); answer = {'got': n}\n"
        "        except (OSError, ValueError): pass\n"
        "if not answer: raise PermissionError('none')",
    ),
]
