import type { ChannelOptions } from '@grpc/grpc-js'
import { comlinkPackage } from './ends/comlink.js'
import { whyMissing } from './ends/installed.js'
import { jsonrpcPackage } from './ends/jsonrpc.js'
import type { Capability, Link } from './link.js'
import { buildGo, goHost } from './rows/go.js'
import type { MuxplugOptions } from './rows/muxplug.js'

/** A contender: one way for two processes to call each other. */
export interface Row {
  readonly name: string
  /** What it is, in a few words. */
  readonly text: string
  /** What it cannot do, and why. */
  readonly cannot?: Partial<Record<Capability, string>>
  /** Much like another: it takes part in the cases of a quick run alone, unless it was asked for by name. */
  readonly brief?: boolean
  /** Who drives it: this program's own host process, or a program that does the same by itself. */
  readonly host:
    | { readonly t: 'node'; readonly open: () => Promise<Link> }
    | { readonly t: 'program'; readonly command: readonly [string, ...string[]] }
  /** Makes it ready, once a run. Returns why it cannot take part here, or nothing. */
  prepare?(signal: AbortSignal): Promise<string | undefined>
}

/** The row that ratios are taken to. */
export const baseline = 'per-dial'

const noBroker = {
  dial: 'it has no broker IDs: one service at each end',
  keep: 'it has no broker IDs: one service at each end'
}

const noStreams = 'it has calls with one answer, and no streams'

const callsOnly = { ...noBroker, down: noStreams, up: noStreams, both: noStreams }

/** In the order in which they are shown. docs/benchmarks.md tells more of each. */
export const rows: readonly Row[] = [
  node('raw-socketpair', 'length-prefixed bytes over a socketpair: the floor', rawSocketpair, noBroker),
  node('node-ipc', "Node's own channel to a child, advanced serialisation", nodeIpc, noBroker),
  {
    ...node('vscode-jsonrpc', 'JSON with headers over stdin and stdout', vscodeJsonrpc, callsOnly),
    prepare: () => whyMissing(jsonrpcPackage)
  },
  {
    ...node('worker-comlink', 'a worker thread in place of a process', workerComlink, callsOnly),
    prepare: () => whyMissing(comlinkPackage)
  },
  node('per-dial', 'a unix socket for each broker ID, grpc-js as it is on both ends', () => perDial()),
  node('per-dial-tuned', 'the same, with wider windows where grpc-js has an option', () =>
    // As many bytes as a yamux substream may have in flight. Wider ones gain no more than noise hides.
    perDial({ 'grpc-node.flow_control_window': 256 * 1024 })
  ),
  node('per-dial-own', 'the same sockets, muxplug on both ends', () => muxplug({ transport: 'socket' })),
  node('socket-mux', "go-plugin's multiplexed broker, muxplug on both ends", () =>
    muxplug({ transport: 'socket-mux' })
  ),
  node('stream-direct', 'one stream on a descriptor of its own, a substream for each call', () =>
    muxplug({ transport: 'stream', stream: 'fd', muxer: 'native', wires: ['direct'] })
  ),
  {
    ...node('stream-direct-stdio', 'the same on stdin and stdout', () =>
      muxplug({ transport: 'stream', stream: 'stdio', muxer: 'native', wires: ['direct'] })
    ),
    brief: true
  },
  node('stream-h2-native', 'one stream on a descriptor of its own, HTTP/2 on yamux', () =>
    muxplug({ transport: 'stream', stream: 'fd', muxer: 'native', wires: ['h2'] })
  ),
  {
    ...node('stream-h2-native-stdio', 'the same on stdin and stdout', () =>
      muxplug({ transport: 'stream', stream: 'stdio', muxer: 'native', wires: ['h2'] })
    ),
    brief: true
  },
  node('stream-h2-libp2p', 'one stream on a descriptor of its own, HTTP/2 on the engine libp2p', () =>
    muxplug({ transport: 'stream', stream: 'fd', muxer: 'libp2p', wires: ['h2'] })
  ),
  {
    ...node('stream-h2-libp2p-stdio', 'the same on stdin and stdout', () =>
      muxplug({ transport: 'stream', stream: 'stdio', muxer: 'libp2p', wires: ['h2'] })
    ),
    brief: true
  },
  go('go-per-dial', 'go-plugin between two Go processes, a socket for each broker ID', []),
  go('go-mux', 'the same with its multiplexed broker', ['-mux'])
]

function node(
  name: string,
  text: string,
  open: () => Promise<Link>,
  cannot: Partial<Record<Capability, string>> = {}
): Row {
  return { name, text, cannot, host: { t: 'node', open } }
}

function go(name: string, text: string, flags: readonly string[]): Row {
  return { name, text, host: { t: 'program', command: goHost(flags) }, prepare: buildGo }
}

async function rawSocketpair(): Promise<Link> {
  const { openRawSocketpair } = await import('./rows/raw-socketpair.js')
  return openRawSocketpair()
}

async function nodeIpc(): Promise<Link> {
  const { openNodeIpc } = await import('./rows/node-ipc.js')
  return openNodeIpc()
}

async function vscodeJsonrpc(): Promise<Link> {
  const { openVscodeJsonrpc } = await import('./rows/vscode-jsonrpc.js')
  return openVscodeJsonrpc()
}

async function workerComlink(): Promise<Link> {
  const { openWorkerComlink } = await import('./rows/worker-comlink.js')
  return openWorkerComlink()
}

async function perDial(options: ChannelOptions = {}): Promise<Link> {
  const { openPerDial } = await import('./rows/per-dial.js')
  return openPerDial(options)
}

async function muxplug(options: MuxplugOptions): Promise<Link> {
  const { openMuxplug } = await import('./rows/muxplug.js')
  return openMuxplug(options)
}
