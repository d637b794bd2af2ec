import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { launchFixture } from '../helpers/launch.js'

for (const transport of ['stream', 'socket', 'socket-mux'] as const) {
  t.test(`${transport}: an onOutput that fails is logged, and output goes on`, async (t) => {
    const failure = new Error('onOutput has failed')
    let bytes = 0
    const { plugin, logger } = await launchFixture(t, 'plugin-go-serves.mjs', {
      transport,
      onOutput(_channel, chunk) {
        bytes += chunk.length
        throw failure
      }
    })
    const echo = plugin.dispense(Echo)
    for (const print of ['first', 'second']) {
      await echo.echo({ text: 'print', payload: Buffer.from(`${print}\n`) })
      await logger.seen(({ message, level }) => message === print && level === 'info')
    }
    t.ok(bytes >= 'first\nsecond\n'.length)
    await logger.seen(({ message, fields }) => message === 'onOutput failed' && fields['err'] === failure)
  })
}
