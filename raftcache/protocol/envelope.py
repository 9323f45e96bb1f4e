"""The envelope around a request: everything up to and with the first empty frame.

A ROUTER socket puts the sender's routing id first; a REQ socket adds an empty delimiter frame,
and with REQ_CORRELATE a frame before that. The answer goes back in the same envelope.
"""

from .limits import Refused


def split_envelope(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Split what a ROUTER socket received into the envelope and the rest.

    Assumes at least one frame: the routing id, which is never empty. Without a delimiter the
    envelope is the routing id alone, so that even such a sender can be told.
    """
    assert frames, "a ROUTER socket puts the routing id in front"
    if len(frames) == 3 and not frames[1]:
        return frames[:2], frames[2:]
    for position in range(1, len(frames)):
        if not frames[position]:
            return frames[: position + 1], frames[position + 1 :]
    return frames[:1], frames[1:]


def request_frame(envelope: list[bytes], body: list[bytes]) -> bytes:
    """Return the one frame of a request.

    Raises:
        Refused: there is no delimiter, or there is not exactly one frame behind it.
    """
    if len(envelope) > 1 and len(body) == 1:
        return body[0]
    json = bool(body) and body[0].startswith(b"{")
    if len(envelope) == 1:
        raise Refused(
            "bad_request",
            "there is no empty delimiter frame before the request: a REQ socket sends one by "
            "itself, a DEALER must send one first",
            json=json,
        )
    raise Refused(
        "bad_request",
        f"{len(body)} frames follow the delimiter: a request is exactly one",
        json=json,
    )
