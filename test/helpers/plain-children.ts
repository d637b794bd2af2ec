/**
 * The test runner loads a module of its own into every Node process that a test starts, to see what that covers. Here
 * those are the programs under test: importing this lets them start as users start them, and twice as fast.
 */
const spawnHook = Symbol.for('process-on-spawn@*:singletonId')

const hooks = (globalThis as { [spawnHook]?: { listeners: unknown[] } })[spawnHook]
if (hooks !== undefined) hooks.listeners = []
