// Sends requests to nodes as any program in another language would, and prints the replies.
//
// Standard input: one JSON object per line, {"endpoint", "socket", "encoding", "request"}. Standard
// output: a line with the reply for each, written as JSON whatever came over the wire.

"use strict"

const readline = require("node:readline")
const { decode, encode } = require("@msgpack/msgpack")
const { Dealer, Request } = require("zeromq")

const ANSWER_MS = 120_000

// MessagePack has bytes where JSON has {"b64": …}.
function toBytes(value) {
  if (Array.isArray(value)) return value.map(toBytes)
  if (value === null || typeof value !== "object") return value
  if (typeof value.b64 === "string") return Buffer.from(value.b64, "base64")
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, toBytes(inner)]))
}

function fromBytes(value) {
  if (value instanceof Uint8Array) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value)
    } catch {
      return { b64: Buffer.from(value).toString("base64") }
    }
  }
  if (Array.isArray(value)) return value.map(fromBytes)
  if (value === null || typeof value !== "object") return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, fromBytes(inner)]))
}

const encodings = {
  json: { write: (value) => JSON.stringify(value), read: (frame) => JSON.parse(frame.toString()) },
  msgpack: {
    write: (value) => encode(toBytes(value)),
    read: (frame) => fromBytes(decode(frame)),
  },
}

const sockets = {
  // A REQ socket adds and takes away the empty delimiter by itself, a DEALER does not.
  REQ: { make: () => new Request(), wrap: (body) => [body], unwrap: (frames) => frames },
  DEALER: {
    make: () => new Dealer(),
    wrap: (body) => ["", body],
    unwrap: ([delimiter, ...frames]) => {
      if (delimiter.length !== 0) throw new Error("the reply begins with no empty delimiter")
      return frames
    },
  },
}

async function ask({ endpoint, socket, encoding, request }) {
  const { make, wrap, unwrap } = sockets[socket]
  const { write, read } = encodings[encoding]
  const connection = make()
  connection.linger = 0
  connection.immediate = true
  connection.receiveTimeout = ANSWER_MS
  connection.connect(endpoint)
  try {
    await connection.send(wrap(write(request)))
    const frames = unwrap(await connection.receive())
    if (frames.length !== 1) throw new Error(`a reply of ${frames.length} frames`)
    return read(frames[0])
  } finally {
    connection.close()
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await ask(JSON.parse(line))) + "\n")
  }
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
