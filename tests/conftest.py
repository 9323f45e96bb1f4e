"""What all tests stand on, wherever they are run from."""

import signal

# A shell without job control starts `bin/test &` with Ctrl-C ignored, and so would be whatever a
# test starts: none of it would ever hear the interrupts that some tests are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
