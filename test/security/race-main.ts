// `npm run test:race [SECONDS]`: the race of root.test.ts for a minute, beside the usual way to lose it.
import { openArena, race, raceByRealPath } from './race.js'

const seconds = Number(process.argv[2] ?? 60)
await using arena = await openArena()

function during(share: number): () => boolean {
  const end = performance.now() + seconds * share * 1000
  return () => performance.now() < end
}

const usual = await raceByRealPath(arena, during(0.1))
console.log('realpath, then open:', JSON.stringify(usual))
const rooted = await race(arena, during(1))
console.log('openRoot:           ', JSON.stringify(rooted))
if (rooted.leaked > 0 || rooted.inside === 0 || rooted.refused === 0) process.exitCode = 1
