// What a host of this package and a plugin agree on, and what they do not.
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import type { Transport } from '../../lib/host/index.js'
import { createCertificate, formatCertificate } from '../../lib/security/certificate.js'
import { brokeredId, callBack, launchSession } from './cases.js'
import { type Command, goPlugin, nodePlugin, nodeProgram, ownTemporaryDirectory } from './programs.js'

interface Choice {
  readonly plugin: string
  readonly command: Command
  /** What `transport: 'auto'` comes to. */
  readonly transport: Transport
}

const oldGoPlugin: Command = [...goPlugin, '-old']

const choices: readonly Choice[] = [
  { plugin: 'a Go plugin', command: goPlugin, transport: 'socket-mux' },
  { plugin: 'a Go plugin that has no multiplexed broker', command: oldGoPlugin, transport: 'socket' },
  { plugin: 'a TypeScript plugin', command: nodePlugin, transport: 'stream' }
]

for (const { plugin: kind, command, transport } of choices) {
  for (const autoMtls of [false, true]) {
    t.test(`auto is ${transport} with ${kind}${autoMtls ? ' and AutoMTLS' : ''}`, async (t) => {
      await ownTemporaryDirectory(t)
      const { plugin, echo, output, logger } = await launchSession(t, { command, autoMtls })
      t.equal(plugin.transport, transport)
      t.equal(await callBack(plugin, echo, 'host: '), 'host: called back')
      await using connection = plugin.broker.dial(await brokeredId(echo))
      t.match(await connection.dispense(Echo).echo({ text: 'x' }), { text: 'brokered x' })
      await echo.echo({ text: 'print', payload: Buffer.from('x') })
      await output.seen('stdout', 'out x\n')
      await logger.seen(({ message }) => message === 'err x')
      await plugin.close()
      t.same(await plugin.exited, { code: 0, signal: null })
      t.same(await readdir(tmpdir()), [])
    })
  }
}

t.test('socket-mux is refused where the plugin does not offer it', async (t) => {
  await ownTemporaryDirectory(t)
  await t.rejects(launchSession(t, { command: oldGoPlugin, transport: 'socket-mux' }), {
    code: 'ERR_HANDSHAKE_TRANSPORT'
  })
  t.same(await readdir(tmpdir()), [])
})

t.test('the stream is refused where the plugin does not know it', async (t) => {
  await ownTemporaryDirectory(t)
  await t.rejects(launchSession(t, { command: goPlugin, transport: 'stream' }), {
    code: 'ERR_HANDSHAKE_TRANSPORT'
  })
})

for (const transport of ['socket', 'socket-mux'] as const) {
  t.test(`${transport}: a plugin is not talked to that has not the certificate it shows`, async (t) => {
    await ownTemporaryDirectory(t)
    const { certDer } = await createCertificate({ curve: 'P-256' })
    const command: Command = [...nodeProgram('impostor.mjs'), ...goPlugin]
    const env = { IMPOSTOR: formatCertificate(certDer) }
    await t.rejects(launchSession(t, { command, transport, autoMtls: true, env }), {
      code: 'ERR_SOCKET_CONNECT',
      message: /self-signed certificate/
    })
    t.same(await readdir(tmpdir()), [])
  })
}
