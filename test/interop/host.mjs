// A host that does nothing but launch the program it is given, on the stream $STREAM. Prints the plugin's pid.
import { launch } from 'muxplug/host'

const plugin = await launch({
  command: [process.argv[2]],
  handshake: { cookieKey: 'ECHO_PLUGIN', cookieValue: 'echo' },
  stream: process.env.STREAM
})
await plugin.ping()
console.log(plugin.pid)
setInterval(() => {}, 1000)
