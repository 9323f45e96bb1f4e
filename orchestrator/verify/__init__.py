"""Was a promise broken? Recorded histories, and the judgement over them.

``history`` is what clients wrote down, ``models`` what a correct store may answer, ``projection``
what each operation says of each key, ``lifetimes`` what may end by itself, ``moves`` a history made
ready to be searched, ``linearizability`` the search and its verdict, ``revisions`` what shows over
several keys, ``shrink`` the few operations that contradict each other, ``explain`` one sentence
about them, ``summary`` what can be counted, ``judgement`` all of it in one call.

Nothing here imports ``raftcache``: a checker that shares code with its subject shares its bugs.
"""
