/** Everything: what `muxplug` exports. A plugin imports `muxplug/plugin` alone and so never loads the host's half. */
export * from './host/index.js'
export * from './plugin/index.js'
