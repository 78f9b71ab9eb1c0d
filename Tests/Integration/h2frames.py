"""HTTP/2 frames and HPACK by hand: every byte is the test's to choose, so that what RFC 9113 and RFC 7541 forbid can be sent as well as what they
allow. Header blocks made here never touch the dynamic table unless a function says so; they can be put together in any order.
"""
import struct

import hpack
import hyperframe.frame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
KINDS = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"]
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
         "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR,
 CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8


def code_name(code):
    return CODES[code] if code < len(CODES) else hex(code)


# ---- HPACK (RFC 7541)

def integer(value, prefix, first=0):
    """§5.1; `first` holds the bits before the prefix."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_huffman = hpack.huffman.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES, hpack.huffman_constants.REQUEST_CODES_LENGTH)


def octets(text):
    return text.encode("latin-1") if isinstance(text, str) else bytes(text)


def string(text, huffman=False):
    """§5.2"""
    data = _huffman.encode(octets(text)) if huffman else octets(text)
    return integer(len(data), 7, 0x80 if huffman else 0) + data


def raw_huffman(data):
    """A string literal that says it is Huffman-coded; `data` as it is."""
    return integer(len(data), 7, 0x80) + data


def literal(name, value, kind=0x00, huffman=False):
    """A literal with a new name: kind 0x00 without indexing, 0x10 never indexed, 0x40 with incremental indexing."""
    return bytes([kind]) + string(name, huffman) + string(value, huffman)


def named(index, value, kind=0x00, huffman=False):
    """A literal whose name is an index."""
    return integer(index, 6 if kind == 0x40 else 4, kind) + string(value, huffman)


def indexed(index):
    return integer(index, 7, 0x80)


def table_size(size):
    return integer(size, 5, 0x20)


def block(*fields):
    """Pairs become literals without indexing; bytes are taken as they are."""
    return b"".join(field if isinstance(field, bytes) else literal(*field) for field in fields)


AUTHORITY = "gateway.test"


def pseudo(path="/case", method="GET", scheme="http", authority=AUTHORITY):
    return [(name, value) for name, value in ((":method", method), (":scheme", scheme), (":authority", authority), (":path", path)) if value is not None]


# ---- frames (RFC 9113 §4.1)

def frame(kind, stream=0, payload=b"", flags=0, length=None):
    """`length`, if given, is said in place of the payload's."""
    return struct.pack(">I", len(payload) if length is None else length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def headers(stream, fields=(), end=True, whole=True, flags=0, pad=None, priority=None):
    """A HEADERS frame; `fields` may be a block's bytes. pad: so many bytes of padding. priority: (dependency, weight byte)."""
    payload = fields if isinstance(fields, bytes) else block(*fields)
    flags |= (END_STREAM if end else 0) | (END_HEADERS if whole else 0)
    if priority is not None:
        payload, flags = struct.pack(">IB", *priority) + payload, flags | WITH_PRIORITY
    if pad is not None:
        payload, flags = bytes([pad]) + payload + bytes(pad), flags | PADDED
    return frame(HEADERS, stream, payload, flags)


def get(stream, path="/case", *more, **options):
    """A whole GET."""
    return headers(stream, [*pseudo(path), *more], **options)


def post(stream, path="/case", *more, **options):
    """The head of a POST: its body is to follow."""
    return headers(stream, [*pseudo(path, "POST"), *more], **{"end": False, **options})


def continuation(stream, fragment=b"", whole=True):
    return frame(CONTINUATION, stream, fragment, END_HEADERS if whole else 0)


def data(stream, payload=b"", end=False, pad=None, flags=0):
    if pad is not None:
        payload, flags = bytes([pad]) + payload + bytes(pad), flags | PADDED
    return frame(DATA, stream, payload, flags | (END_STREAM if end else 0))


def settings(*pairs, ack=False):
    return frame(SETTINGS, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs), ACK if ack else 0)


def ping(payload=b"openclaw", ack=False):
    return frame(PING, 0, payload, ACK if ack else 0)


def rst(stream, code=CANCEL):
    return frame(RST_STREAM, stream, struct.pack(">I", code))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream, struct.pack(">I", increment))


def priority(stream, dependency=0, weight=15):
    return frame(PRIORITY, stream, struct.pack(">IB", dependency, weight))


def goaway(last=0, code=NO_ERROR, debug=b"", stream=0):
    return frame(GOAWAY, stream, struct.pack(">II", last, code) + debug)


def describe(raw):
    """Frames for the eye, by hyperframe; what it refuses, by the letter."""
    found = []
    while len(raw) >= 9:
        length = int.from_bytes(raw[:3], "big")
        try:
            one, _ = hyperframe.frame.Frame.parse_frame_header(memoryview(raw[:9]))
            one.parse_body(memoryview(raw[9:9 + length]))
            found.append(repr(one)[:100])
        except Exception:
            kind = KINDS[raw[3]] if raw[3] < len(KINDS) else hex(raw[3])
            found.append(f"{kind}(length={length}, flags={raw[4]:#x}, stream={int.from_bytes(raw[5:9], 'big')})")
        raw = raw[9 + length:]
    return found
