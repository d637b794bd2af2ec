import type { Readable, Writable } from 'node:stream'
import { load } from './installed.js'

export const jsonrpcPackage = 'vscode-jsonrpc/node'

/** What is used of vscode-jsonrpc. */
export interface MessageConnection {
  sendRequest<T>(method: string, ...parameters: readonly unknown[]): Promise<T>
  onRequest(method: string, handler: (parameter: string) => unknown): unknown
  listen(): void
  dispose(): void
}

interface Jsonrpc {
  readonly StreamMessageReader: new (stream: Readable) => unknown
  readonly StreamMessageWriter: new (stream: Writable) => unknown
  createMessageConnection(reader: unknown, writer: unknown): MessageConnection
}

/** A connection of vscode-jsonrpc: JSON with the headers of the Language Server Protocol. */
export async function createConnection(input: Readable, output: Writable): Promise<MessageConnection> {
  // A CommonJS module that gathers its exports in a loop, which named imports do not see.
  const { default: jsonrpc } = await load<{ readonly default: Jsonrpc }>(jsonrpcPackage)
  return jsonrpc.createMessageConnection(
    new jsonrpc.StreamMessageReader(input),
    new jsonrpc.StreamMessageWriter(output)
  )
}

/** JSON has no bytes. */
export function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

export function toBytes(text: string): Buffer {
  return Buffer.from(text, 'base64')
}
