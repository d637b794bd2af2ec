import t from 'tap'
import { cookieProblem } from '../../lib/handshake/cookie.js'

const cookie = { cookieKey: 'BASIC_PLUGIN', cookieValue: 'hello-secret' }

await t.test('the right cookie is no problem', async (t) => {
  t.equal(cookieProblem(cookie, 'hello-secret', 'lister'), undefined)
})

await t.test('a missing cookie tells a person what the program is and what to start', async (t) => {
  for (const actual of [undefined, '']) {
    const problem = cookieProblem(cookie, actual, 'lister')
    t.match(problem, { code: 'ERR_HANDSHAKE_COOKIE', missing: true })
    t.match(problem?.text, /^lister is a plugin\b.*\n.*Start the program that uses it.*BASIC_PLUGIN/)
    t.notMatch(problem?.text, 'hello-secret')
  }
})

await t.test('a wrong cookie names the variable and no value', async (t) => {
  for (const actual of ['Hello-secret', 'hello-secre', 'hello-secret2', ' hello-secret', 'x']) {
    const problem = cookieProblem(cookie, actual, 'lister')
    t.match(problem, { code: 'ERR_HANDSHAKE_COOKIE', missing: false })
    t.match(problem?.text, /BASIC_PLUGIN/)
    t.notMatch(problem?.text.toLowerCase(), 'hello')
  }
})
