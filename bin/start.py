"""Become the module or the file that is named, so that a Ctrl-C never meets half an import.

Started with ``-I -S``, so that nearly nothing runs before this. Until the program's own `main`
takes Ctrl-C over, it ends the process at once and without a word, as it ends any other.
"""

try:
    import signal

    # Where somebody made us deaf to it (`nohup`, a `&` in a script), we stay so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
except KeyboardInterrupt:
    raise SystemExit(130) from None

import runpy
import site
import sys

site.main()  # what -S left out: the packages of .venv
del sys.argv[0]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
