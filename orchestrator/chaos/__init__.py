"""`bin/cluster chaos`: scenarios that break a cluster under a recorded load, and their verdict.

``scenario`` is what a file says and ``grammar`` its reading, ``timeline`` when its steps fire,
``faults`` what they do and how it is undone, ``workload`` the clients that write down what they
were told, ``journal`` what happened meanwhile, ``runner`` the course of a run, ``account`` and
``results`` what came of it, ``show`` how that is laid out.
"""
