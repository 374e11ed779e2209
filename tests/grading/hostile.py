"""Answers to the task `kl` of 02_vae that try to get marks or to do harm, and what they deserve.

Each is the source of the answer cell. `GOOD` is right; what follows it in a source must not lose its marks,
what stands before it must not win any.
"""

from __future__ import annotations

from dataclasses import dataclass

GOOD = """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(dim=1)
"""
BAD = """
def kl(mu, logvar):
    return mu.sum(dim=1)
"""


FORGED = "the reply could not be read: was it forged?"


@dataclass(frozen=True)
class Hostile:
    """One answer: its source, whether it deserves full marks, and how its run must end."""

    source: str
    full: bool = False
    outcome: str = "replied"
    stopped: str = ""  # part of what must be said of the answer cell


HOSTILE = {
    # what goes wrong honestly
    "syntax error": Hostile("def kl(mu, logvar)\n    return mu", stopped="SyntaxError"),
    "exception in the cell": Hostile("1 / 0" + GOOD, stopped="ZeroDivisionError"),
    "exception after the answer": Hostile(GOOD + "1 / 0", full=True, stopped="ZeroDivisionError"),
    "infinite loop": Hostile("while True:\n    pass", outcome="late"),
    "does not listen to SIGXCPU": Hostile(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass", outcome="late"
    ),
    "infinite loop in the function": Hostile(
        "def kl(mu, logvar):\n    while True:\n        pass", outcome="late"
    ),
    "sleeps for ever": Hostile("import time\ntime.sleep(10_000)", outcome="late"),
    "50 MB of output": Hostile(f"print('x' * 50_000_000){GOOD}", full=True),
    "50 MB of errors": Hostile(f"import sys\nsys.stderr.write('x' * 50_000_000){GOOD}", full=True),
    "50 MB past Python": Hostile(
        f"import os\nfor i in range(50):\n    os.write(1, b'x' * 1_000_000){GOOD}", full=True
    ),
    "output without end": Hostile("while True:\n    print('x' * 1_000_000)", outcome="late"),
    "recursion": Hostile("def kl(mu, logvar):\n    return kl(mu, logvar)"),
    "reads what nobody types": Hostile("name = input('name? ')" + GOOD, stopped="EOFError"),
    "breakpoint": Hostile("breakpoint()" + GOOD, outcome="any"),
    "an error that has no words": Hostile(
        "class Mute(Exception):\n    def __str__(self):\n        raise self\n    __repr__ = __str__\n"
        "def kl(mu, logvar):\n    raise Mute"
    ),
    "an error of the cell that has no words": Hostile(
        "class Mute(Exception):\n    def __str__(self):\n        raise self\n    __repr__ = __str__\n"
        "raise Mute" + GOOD,
        stopped="Mute",
    ),
    # ends Python
    "sys.exit": Hostile("import sys\nsys.exit(0)" + GOOD, stopped="SystemExit"),
    "sys.exit in the function": Hostile("import sys\ndef kl(mu, logvar):\n    sys.exit(0)"),
    "os._exit": Hostile("import os\nos._exit(0)", outcome="ended"),
    "segmentation fault": Hostile("import ctypes\nctypes.string_at(0)", outcome="crashed"),
    "kills its process group": Hostile("import os\nos.killpg(0, 9)" + GOOD, full=True),
    "kills everything": Hostile(
        "import os\ntry:\n    os.kill(-1, 9)\nexcept OSError:\n    pass" + GOOD, full=True
    ),
    "closes every file": Hostile("import os\nos.closerange(0, 256)" + GOOD, outcome="any"),
    # takes all there is
    "8 GB": Hostile("x = bytearray(8 << 30)" + GOOD, stopped="MemoryError"),
    "8 GB of tensor": Hostile("x = torch.ones(1 << 30, dtype=torch.float64)" + GOOD, stopped="Error"),
    "fork bomb": Hostile("import os\nwhile True:\n    os.fork()", outcome="any"),
    "forks and sleeps": Hostile(
        "import os, time\nif os.fork() == 0:\n    time.sleep(10_000)\n    os._exit(0)" + GOOD, full=True
    ),
    "both halves of a fork reply": Hostile("import os\nif os.fork():\n    os.wait()" + GOOD, outcome=FORGED),
    "a daemon": Hostile(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(10_000)\n    os._exit(0)" + GOOD,
        full=True,
    ),
    "threads": Hostile(
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(99,)).start()",
        stopped="Error",
    ),
    "fills the disk": Hostile(
        "for i in range(100):\n    open(f'/scratch/{i}', 'wb').write(bytes(10_000_000))" + GOOD,
        stopped="OSError",
    ),
    "fills the shared memory": Hostile(
        "for i in range(100):\n    open(f'/dev/shm/{i}', 'wb').write(bytes(10_000_000))" + GOOD,
        stopped="OSError",
    ),
    "a million files": Hostile(
        "for i in range(1_000_000):\n    open(f'/scratch/{i}', 'w').close()" + GOOD, stopped="OSError"
    ),
    # reaches for what is not there
    "network": Hostile(
        "import socket\nsocket.create_connection(('1.1.1.1', 80), timeout=5)" + GOOD, stopped="OSError"
    ),
    "loopback": Hostile(
        "import socket\nsocket.create_connection(('127.0.0.1', 22), timeout=5)" + GOOD, stopped="Error"
    ),
    "the library": Hostile(
        "import importlib\nimportlib.import_module('dg' + 'm')" + GOOD, stopped="ModuleNotFound"
    ),
    "writes into the environment": Hostile(
        "import torch\nopen(torch.__file__, 'a').write('#')" + GOOD, stopped="Error"
    ),
    "writes over the probes": Hostile(
        "open('/grader/checks/02_vae/probes.py', 'w').write('')" + GOOD, stopped="Error"
    ),
    "becomes root": Hostile("import os\nos.setuid(0)\nassert os.getuid() != 0" + GOOD, stopped="Error"),
    "mounts": Hostile(
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "assert libc.mount(b'x', b'/scratch', b'tmpfs', 0, None) == 0, 'refused'" + GOOD,
        stopped="refused",
    ),
    "memory of the process": Hostile("open('/proc/self/mem', 'r+b')" + GOOD, stopped="FileNotFound"),
    "a user namespace of its own": Hostile(
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'\n"
        "open('/grader/checks/02_vae/probes.py', 'a')" + GOOD,
        stopped="Error",
    ),
    "more time for itself": Hostile(
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99_999, 99_999))" + GOOD, stopped="Error"
    ),
    "deletes all there is": Hostile(
        "import shutil\nshutil.rmtree('/', ignore_errors=True)" + GOOD, full=True
    ),
    # tells lies
    "equals everything": Hostile(
        "class Always:\n    def __eq__(self, other):\n        return True\n    __ne__ = __lt__ = __eq__\n"
        "def kl(mu, logvar):\n    return Always()"
    ),
    "a tensor that lies": Hostile(
        "class Liar(torch.Tensor):\n    def tolist(self):\n        return [1.0] * 5\n"
        "    def __eq__(self, other):\n        return True\n"
        "def kl(mu, logvar):\n    return torch.zeros(len(mu), dtype=mu.dtype).as_subclass(Liar)"
    ),
    "wrong dtype": Hostile(GOOD.replace(".sum(dim=1)", ".sum(dim=1).float()")),
    "whole numbers": Hostile(GOOD.replace(".sum(dim=1)", ".sum(dim=1).long()")),
    "infinity": Hostile(
        "def kl(mu, logvar):\n    return torch.full((len(mu),), float('inf'), dtype=mu.dtype)"
    ),
    "a numpy array": Hostile(GOOD.replace(".sum(dim=1)", ".sum(dim=1).detach().numpy()")),
    "a whole number of a million figures": Hostile("def kl(mu, logvar):\n    return 1 << 3_000_000"),
    "a number that lies": Hostile(
        "class One(float):\n    def __float__(self):\n        return 1.0\n    __abs__ = __sub__ = __float__\n"
        "def kl(mu, logvar):\n    return [One(i) for i in range(len(mu))]"
    ),
    "a list that never ends": Hostile(
        "class Endless(list):\n    def __iter__(self):\n        while True:\n            yield 0\n"
        "def kl(mu, logvar):\n    return Endless()",
        outcome="any",
    ),
    "a dict of itself": Hostile("def kl(mu, logvar):\n    x = {}\n    x['x'] = x\n    return x"),
    "huge": Hostile("def kl(mu, logvar):\n    return torch.zeros(50_000_000)"),
    "a list without end": Hostile("def kl(mu, logvar):\n    x = []\n    x.append(x)\n    return x"),
    "a list of a million": Hostile(
        "def kl(mu, logvar):\n    return [[0.0] * 20_000] * 20_000", outcome="any"
    ),
    "NaN": Hostile("def kl(mu, logvar):\n    return torch.full((len(mu),), float('nan'), dtype=mu.dtype)"),
    "complex": Hostile("def kl(mu, logvar):\n    return (mu + 0j).sum(dim=1)"),
    "wrong dimensions": Hostile("def kl(mu, logvar):\n    return mu[None, None]"),
    "a string": Hostile("def kl(mu, logvar):\n    return 'full marks'"),
    "a module": Hostile("def kl(mu, logvar):\n    return torch"),
    # changes what it stands on
    "patched allclose": Hostile("torch.allclose = lambda *a, **k: True" + BAD),
    "patched torch": Hostile(
        "torch.Tensor.__eq__ = lambda *a: True\ntorch.equal = torch.allclose = lambda *a, **k: True"
        "\ntorch.Tensor.tolist = lambda self: [0.0] * self.numel()" + BAD
    ),
    "patched random numbers": Hostile(
        "torch.randn = lambda *shape, **kw: torch.zeros(shape, dtype=torch.float64)\n"
        "torch.Generator.manual_seed = lambda self, seed: self" + BAD,
        outcome="any",
    ),
    "seeds of its own": Hostile("torch.manual_seed(0)\nimport random\nrandom.seed(0)" + GOOD, full=True),
    "another default dtype": Hostile(
        "torch.set_default_dtype(torch.float16)" + GOOD, outcome="any", full=True
    ),
    "another device": Hostile("torch.set_default_device('meta')" + BAD, outcome="any"),
    "a tracer": Hostile("import sys\nsys.settrace(lambda *a: None)" + GOOD, full=True),
    "modules gone": Hostile(
        "import sys\nfor name in [n for n in sys.modules if n.startswith(('coursekit', 'json'))]:\n"
        "    sys.modules[name] = None" + BAD,
        outcome="any",
    ),
    "patched numpy": Hostile("import numpy\nnumpy.allclose = lambda *a, **k: True" + BAD),
    "patched builtins": Hostile(
        "import builtins\nbuiltins.all = builtins.any = lambda *a: True\nbuiltins.abs = lambda x: 0\n"
        "builtins.isinstance = lambda *a: True" + BAD,
        outcome="any",
    ),
    "patched json": Hostile(
        'import json\njson.dumps = lambda *a, **k: \'{"reply": {"data": {}}}\'\n'
        "json.JSONEncoder.encode = json.dumps" + BAD,
        outcome=FORGED,
    ),
    "patched pickle": Hostile("import pickle\npickle.loads = pickle.dumps = lambda *a: True" + BAD),
    "patched check": Hostile(
        "import coursekit.exercises.judge as j\nj.judge = lambda *a: []\nj.close = lambda *a, **k: True\n"
        "import coursekit.exercises.task as t\nt.Mark = None" + BAD
    ),
    "patched probe": Hostile(
        "import coursekit.exercises.probe as p\np.run_probe = lambda *a: {'data': {'random': True}}\n"
        "p.plain = lambda *a: {'type': 'number', 'value': 0}" + BAD
    ),
    "input transformer": Hostile(
        "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass'])" + GOOD, stopped="NameError"
    ),
    # speaks for the worker
    "forged reply": Hostile(
        "import json, os\nos.write(3, json.dumps({'nonce': 'x', 'reply': {'data': {}}}).encode())\n"
        "os._exit(0)",
        outcome=FORGED,
    ),
    "forged frame": Hostile(
        'import os, struct\nbody = b\'{"nonce": "", "outcome": "replied"}\'\n'
        "for fd in range(64):\n    try:\n        os.write(fd, struct.pack('!I', len(body)) + body)\n"
        "    except OSError:\n        pass\nos._exit(0)",
        outcome=FORGED,
    ),
    "a reply of nonsense": Hostile("import os\nos.write(3, b'\\xff\\x00' * 1000)" + GOOD, outcome=FORGED),
    "a reply without end": Hostile(
        "import os\nwhile True:\n    os.write(3, b'[' * 100_000)", outcome="too much to say"
    ),
    "a nested reply": Hostile("import os\nos.write(3, b'[' * 1_000_000)\nos._exit(0)", outcome=FORGED),
    # stays behind
    "a thread that outlives the cell": Hostile(
        "import threading, time\n"
        "def work():\n    while True:\n        time.sleep(0.01)\n"
        "threading.Thread(target=work).start()" + GOOD,
        full=True,
    ),
    "atexit": Hostile("import atexit, time\natexit.register(time.sleep, 10_000)" + GOOD, full=True),
    "ignores signals": Hostile(
        "import signal\nfor s in range(1, 32):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\nwhile True:\n    pass",
        outcome="late",
    ),
    "changes the stack's limits": Hostile(
        "import sys\nsys.setrecursionlimit(10**9)\ndef kl(mu, logvar):\n    return kl(mu, logvar)",
        outcome="any",
    ),
}
