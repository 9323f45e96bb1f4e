"""The same work on this cache, on its peers, and on the floors under it: `benchmarks/run`.

``work`` is what is asked and what is measured; ``system`` what every system is; ``ours``, ``etcd``,
``redis``, ``syncobj`` and ``floors`` are the systems; ``driver`` is the process that puts the load
on one of them; ``report`` the table and the picture.
"""
