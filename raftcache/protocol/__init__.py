"""What the frames hold: bytes in, values out (docs/protocol.md).

Pure functions over bytes: no socket, no clock, no state. The whole way of a request::

    envelope, body = split_envelope(frames)             # as received from the ROUTER socket
    try:
        request = decode_request(request_frame(envelope, body), limits)
    except Refused as refused:                          # the only exception that escapes
        return [*envelope, encode_refused(refused, header)]
    if request.command is not None:                     # a mutation: through the log
        data = encode_commands([request.command])       # one entry, perhaps with others' commands
        [result] = machine.apply(index, data)           # once it is committed
    elif request.query is not None:                     # a get, a range, a batch of only these
        result = machine.read(request.query)            # once it is settled that this node may
    else:                                               # ping, status, members, hash, admin
        result = {"field": "value"}                     # the node's own, by request.op
    return [*envelope, encode_reply(request, header, result)]

``header`` is a :class:`~raftcache.protocol.replies.ReplyHeader` with the state of the answering
node at that moment. Other failures are answered with
``encode_error(request, header, code, message, applied, **extra)``.
"""
