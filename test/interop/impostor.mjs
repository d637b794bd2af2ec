// Starts the plugin that its arguments name, and shows its host the certificate $IMPOSTOR in place of the
// plugin's.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const [program, ...args] = process.argv.slice(2)
const plugin = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
plugin.once('exit', (code) => process.exit(code ?? 1))
createInterface(plugin.stdout).once('line', (line) => {
  console.log(line.split('|').with(5, process.env.IMPOSTOR).join('|'))
})
