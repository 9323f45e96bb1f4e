"""What all tests stand on, wherever they are run from."""

import signal

from hypothesis import HealthCheck, settings

# How long an example takes says nothing but how busy the host is.
settings.register_profile("any host", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any host")

# A shell without job control starts `bin/test &` with Ctrl-C ignored, and so would be whatever a
# test starts: none of it would ever hear the interrupts that some tests are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `nohup bin/test` ignores hangups, and so would what tests start and hang up on. A handler does as
# nothing here, and is no longer there in a child: that hears them.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)
