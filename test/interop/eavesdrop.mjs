// Starts the plugin that its arguments name, stands between it and the host on a socket of its own, and keeps
// all that passes, both ways, in the file $EAVESDROP.
import { spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

const [program, ...args] = process.argv.slice(2)
const plugin = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
plugin.once('exit', (code) => process.exit(code ?? 1))

createInterface(plugin.stdout).once('line', (line) => {
  const fields = line.split('|')
  const path = fields[3]
  const ownPath = `${path}e`
  const server = createServer({ allowHalfOpen: true }, (host) => {
    const socket = connect({ path, allowHalfOpen: true })
    relay(host, socket)
    relay(socket, host)
  })
  server.listen(ownPath, () => console.log(fields.with(3, ownPath).join('|')))
})

function relay(from, to) {
  from.on('data', (bytes) => appendFileSync(process.env.EAVESDROP, bytes))
  from.on('error', () => to.destroy())
  from.pipe(to)
}
