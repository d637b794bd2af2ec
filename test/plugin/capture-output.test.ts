import t from 'tap'
import { Echo } from '#proto/echo/v1/echo.js'
import { launchFixture, streamForms } from '../helpers/launch.js'

for (const stream of streamForms) {
  t.test(
    `stream ${stream}: whatever user code prints becomes a line in the log, and calls go on`,
    async (t) => {
      const { plugin, logger } = await launchFixture(t, 'plugin-prints.mjs', { stream })
      const payload = Buffer.alloc(1024 * 1024, 1)
      const echo = plugin.dispense(Echo)
      for (let call = 0; call < 3; call++)
        t.equal((await echo.echo({ text: `call ${call}`, payload })).text, `call ${call}`)
      const printed = [
        'through a console that has printed before',
        'through process.stdout',
        '│ 0       │ 1 │',
        'inside a call'
      ]
      for (const line of printed) {
        const { fields } = await logger.seen(({ message }) => message === line)
        t.equal(fields['stream'], stream === 'fd' ? 'stdout' : 'stderr', line)
      }
      await logger.seen(({ message, fields }) =>
        [message, fields['lines']].flat().includes('before the import')
      )
      await logger.seen(({ message }) => message === 'stdin is empty')
    }
  )
}
