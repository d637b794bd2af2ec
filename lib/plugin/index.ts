/** The plugin's half: what `muxplug/plugin` exports. Importing it keeps prints off a stream made of stdin and stdout. */
import { readEnvironment } from '../handshake/env.js'
import { guardStdio } from './capture-output.js'

export { type ServedPlugin, serve } from './serve.js'
export { type TestedPlugin, serveTest } from './serve-test.js'
export type { ServeOptions, ServicesFactory } from './options.js'
export { type PluginLoggerOptions, createPluginLogger } from './logger.js'
export * from '../shared.js'

if (readEnvironment(process.env, '').stream?.kind === 'stdio') guardStdio()
