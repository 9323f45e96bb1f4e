"""Was a promise broken? Recorded histories, and the judgement over them.

``history`` is what clients wrote down, ``models`` what a correct store may answer, ``moves`` a
history made ready to be searched, ``linearizability`` the search and its verdict, ``shrink`` the
few operations that contradict each other, ``explain`` one sentence about them, ``summary`` what can
be counted, ``judgement`` all of it in one call.

Nothing here imports ``raftcache``: a checker that shares code with its subject shares its bugs.
"""
