import { type Stats, lchownSync, chmodSync, lstatSync, unlinkSync } from 'node:fs'
import {
  type AddressInfo,
  type ListenOptions,
  type Server,
  type Socket,
  connect,
  createServer
} from 'node:net'
import { once } from 'node:events'
import { PluginError } from '../errors.js'
import { checkDuration, waitFor } from '../signal.js'
import type { RefGroup } from './ref-group.js'
import { atExit } from '../at-exit.js'
import { groupId } from './socket-group.js'
import { checkPathLength, newSocketPath, socketTmpdir } from './socket-path.js'

/** Where a socket listens, as go-plugin writes it: a path, or `host:port`. */
export interface SocketAddress {
  readonly network: 'unix' | 'tcp'
  readonly address: string
}

/** A listening socket. It keeps the process running until it is closed, unless its `refs` say otherwise. */
export interface SocketListener extends SocketAddress {
  /**
   * Takes no more connections and removes the socket's file; connections stay. Safe to repeat; never rejects.
   * The file goes with the process too, unless a signal ends that: whoever handles the signal has to
   * `process.exit()`.
   */
  close(): Promise<void>
}

export interface ListenSocketOptions {
  /** `unix`: a new file in `dir`. `tcp`: a port of 127.0.0.1; the only kind on Windows. */
  readonly kind: 'unix' | 'tcp'
  /** Takes each connection, which is the callee's; from the moment the socket listens. */
  readonly onConnection: (connection: Socket) => void
  /**
   * Directory of the socket's file (`PLUGIN_UNIX_SOCKET_DIR`). Default: the temporary directory, as
   * go-plugin.
   */
  readonly dir?: string | undefined
  /**
   * Group, by number or name, that may connect besides this user (`PLUGIN_UNIX_SOCKET_GROUP`): the file's
   * mode is then 0660. Default: none, and mode 0600.
   */
  readonly group?: string | undefined
  /** Ports, both included, tried upward. Default 0 and 0: the system picks one, as go-plugin. */
  readonly minPort?: number | undefined
  readonly maxPort?: number | undefined
  /** Decides whether listening keeps the process running; connections are the callee's. Default: it does. */
  readonly refs?: RefGroup | undefined
}

/**
 * Listens on a socket of its own.
 * @throws `ERR_CONFIG_INVALID` for an option that cannot be, a path that is too long among them;
 * `ERR_SOCKET_LISTEN` when the system refuses
 */
export async function listenSocket(options: ListenSocketOptions): Promise<SocketListener> {
  return options.kind === 'tcp' ? listenTcp(options) : listenUnix(options)
}

async function listenUnix(options: ListenSocketOptions): Promise<SocketListener> {
  const { dir = socketTmpdir(), group, onConnection, refs } = options
  if (process.platform === 'win32') {
    throw new PluginError('ERR_CONFIG_INVALID', 'unix sockets are not used on Windows', {
      hint: 'Listen on tcp.'
    })
  }
  const gid = group === undefined ? undefined : await groupId(group)
  const path = newSocketPath(dir)
  const server = createServer(onConnection)
  const restore = restrictMode()
  try {
    // Binds here and now, and only to a path that is not there yet: no other file can come in between.
    server.listen(path)
  } finally {
    restore()
  }
  // Bound already, except where the handle comes from another process (node:cluster): so nothing can end this
  // one before the file is known to be removed at its exit.
  if (!server.listening) await listening(server, path)
  let file: Stats
  try {
    // Before the group: the mode would open the socket to the group it was made with.
    if (gid !== undefined) lchownSync(path, -1, gid)
    chmodSync(path, gid === undefined ? 0o600 : 0o660)
    file = lstatSync(path)
  } catch (cause) {
    server.close()
    throw cannotListen(path, cause, 'Use a group that this user belongs to.')
  }
  refs?.add(server)
  return listener(server, { network: 'unix', address: path }, removeAtExit(path, file))
}

/**
 * Until restored, new files are this user's alone. A worker thread cannot say so; there the mode follows a
 * moment later.
 */
function restrictMode(): () => void {
  try {
    const before = process.umask(0o177)
    return () => void process.umask(before)
  } catch {
    return () => {}
  }
}

async function listenTcp(options: ListenSocketOptions): Promise<SocketListener> {
  const { minPort = 0, maxPort = 0, onConnection, refs } = options
  for (const port of [minPort, maxPort]) {
    if (Number.isInteger(port) && port >= 0 && port <= 0xffff) continue
    throw new PluginError('ERR_CONFIG_INVALID', `${String(port)} is not a port`, {
      hint: 'Give PLUGIN_MIN_PORT and PLUGIN_MAX_PORT as numbers from 0 to 65535.'
    })
  }
  if (minPort > maxPort) {
    throw new PluginError('ERR_CONFIG_INVALID', `the ports ${minPort} to ${maxPort} are none`, {
      hint: 'PLUGIN_MIN_PORT must not be above PLUGIN_MAX_PORT; a host that sets one has to set both.'
    })
  }
  let failure: unknown
  for (let port = minPort; port <= maxPort; port += 1) {
    const server = createServer({ noDelay: true }, onConnection)
    const place: ListenOptions = { port, host: '127.0.0.1', exclusive: true }
    server.listen(place)
    try {
      await listening(server, `127.0.0.1:${port}`)
    } catch (error) {
      failure = error
      continue
    }
    const bound = server.address() as AddressInfo
    refs?.add(server)
    return listener(server, { network: 'tcp', address: `127.0.0.1:${bound.port}` }, () => {})
  }
  throw cannotListen(
    `any port from ${minPort} to ${maxPort}`,
    failure,
    'Free one of these ports, or allow more.'
  )
}

async function listening(server: Server, where: string): Promise<void> {
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw cannotListen(where, cause, 'Check that the directory is there and may be written to.')
  }
}

function cannotListen(where: string, cause: unknown, hint: string): PluginError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new PluginError('ERR_SOCKET_LISTEN', `cannot listen on ${where}: ${reason}`, { cause, hint })
}

function listener(server: Server, address: SocketAddress, remove: () => void): SocketListener {
  // Failing to take one connection (too many open files) ends neither the listener nor the process.
  server.on('error', () => {})
  return {
    ...address,
    close() {
      // At once: the callback would wait for the connections.
      server.close()
      remove()
      return Promise.resolve()
    }
  }
}

/** Returns what removes the file, which also happens at exit. Removes nothing but `file` itself. */
function removeAtExit(path: string, file: Stats): () => void {
  const remove = (): void => {
    if (!leave()) return
    try {
      const now = lstatSync(path)
      if (now.ino === file.ino && now.dev === file.dev) unlinkSync(path)
    } catch {
      // Gone already.
    }
  }
  const leave = atExit(remove)
  return remove
}

export interface ConnectSocketOptions {
  readonly network: string
  /** A path for `unix`; `host:port` for `tcp`, where no host means this machine. */
  readonly address: string
  readonly signal?: AbortSignal | undefined
  /** Longest wait for the connection, in ms. Default 5000: a local socket answers at once or never. */
  readonly timeoutMs?: number
}

/**
 * Connects to a listening socket. Resolves once the connection is there, with nothing read from it.
 * @throws `ERR_CONFIG_INVALID` for an address that cannot be, `ERR_SOCKET_CONNECT` when nobody answers,
 * and the signal's reason
 */
export async function connectSocket(options: ConnectSocketOptions): Promise<Socket> {
  const { network, address, signal, timeoutMs = 5000 } = options
  checkDuration('timeoutMs', timeoutMs)
  const where = parseAddress(network, address)
  signal?.throwIfAborted()
  const socket = connect(where)
  try {
    await waitFor(once(socket, 'connect'), {
      signal,
      timeoutMs,
      onTimeout: () => new Error(`no answer within ${timeoutMs} ms`)
    })
    return socket
  } catch (cause) {
    socket.on('error', () => {}).destroy()
    signal?.throwIfAborted()
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new PluginError('ERR_SOCKET_CONNECT', `cannot connect to ${network} ${address}: ${reason}`, {
      cause,
      hint: 'Check that the other process still runs, and that this one may use the socket.'
    })
  }
}

function parseAddress(
  network: string,
  address: string
): { path: string } | { host: string; port: number; noDelay: true } {
  if (network === 'unix' && address !== '' && !address.includes('\0')) {
    checkPathLength(address)
    return { path: address }
  }
  const [, host, port] = (network === 'tcp' && /^(.*):(\d{1,5})$/.exec(address)) || []
  if (host !== undefined && Number(port) > 0 && Number(port) <= 0xffff) {
    return { host: host.replace(/^\[(.*)\]$/, '$1') || 'localhost', port: Number(port), noDelay: true }
  }
  const shown = JSON.stringify(address.slice(0, 200))
  throw new PluginError(
    'ERR_CONFIG_INVALID',
    `${shown} is not an address of the network ${network.slice(0, 20)}`,
    {
      hint: 'A unix address is a path, a tcp address a host and a port from 1 to 65535 joined by a colon.'
    }
  )
}
