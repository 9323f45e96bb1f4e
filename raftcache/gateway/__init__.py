"""HTTP in front of the client library: a process of its own (docs/http.md).

    python -m raftcache.gateway SETTINGS.json

It holds no data and decides nothing: whatever it says about a key, the cluster's leader has said.
Its modules: ``door`` says who may come in, ``targets`` what is asked for, ``conditions`` what must
hold for it; ``keys`` and ``views`` do it, ``answers`` puts it into words; ``server`` guards the
connections, ``gateway`` puts all of it together.
"""
