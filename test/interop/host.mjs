// A host that does nothing but launch a plugin. Its arguments: further options of launch() as JSON, and the
// command. Prints how to attach to the plugin as JSON, at least its Pid, and stays until it is killed or its
// input ends.
import { launch } from 'muxplug/host'

const [options, ...command] = process.argv.slice(2)
const plugin = await launch({
  command,
  handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo' },
  ...JSON.parse(options)
})
await plugin.ping()
console.log(JSON.stringify(plugin.reattachConfig ?? { Pid: plugin.pid }))
process.stdin.on('end', () => process.exit()).resume()
