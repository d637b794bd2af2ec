/**
 * What a plugin says of itself in its `manifest.yaml`, checked and with its paths made absolute. `name`,
 * `command` and `handshake` go to `launch()` as they are. `docs/manifest.md` describes the file.
 */
export interface Manifest {
  /** The file that says all this; absolute. */
  readonly path: string
  /** Lower-case letters, digits and `. _ -`, at most 64: never mistaken for a path. */
  readonly name: string
  /** As Semantic Versioning has it. */
  readonly version: string
  readonly description?: string
  /** An SPDX expression, by custom: nothing here depends on it. */
  readonly licence?: string
  /** The cookie, and the protocol version where the plugin speaks only one. */
  readonly handshake: {
    readonly cookieKey: string
    readonly cookieValue: string
    readonly protocolVersion?: number
  }
  /** Versions of the application's protocol that the plugin speaks. Default: 1 alone, as in `launch()`. */
  readonly protocolVersions: readonly number[]
  /**
   * What to start. A first word that holds a slash is relative to the manifest and made absolute here; others
   * are looked up in PATH. An `entry` of the manifest becomes this Node.js with that file.
   */
  readonly command: readonly [string, ...string[]]
  /** Forms of the stream that the plugin can use; none: it knows sockets alone. Left out: not said. */
  readonly streams?: readonly ('fd' | 'stdio')[]
  /** Wires that the plugin can use, by name; a host ignores those it does not know. Left out: not said. */
  readonly wires?: readonly string[]
  /** gRPC services of the plugin, `package.Service`. Default: none. */
  readonly offers: readonly string[]
  /**
   * Services of the host that the plugin wants to call. Default: none. What it gets is for the host to say.
   */
  readonly asks: readonly Ask[]
}

/** A service of the host that a plugin asks for, and what it wants to do there. */
export interface Ask {
  /** `package.Service` */
  readonly service: string
  /** Words of that service, such as `files.read`. Default: none. */
  readonly scopes: readonly string[]
}
