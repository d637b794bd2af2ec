/*
 * Joins the modules of lib/ into a few files in dist/bundle: one for each entry of the package and for bin/host, and what they
 * share. Loading a hundred small modules takes Node longer than anything else that happens before a plugin's first answer
 * (docs/adr/0010-bundled.md). What a process may never need stays in files of its own, behind the same dynamic imports.
 */
import { rmSync } from 'node:fs'
import { build } from 'esbuild'

const outdir = 'dist/bundle'

rmSync(outdir, { recursive: true, force: true })
await build({
  entryPoints: ['lib/index.ts', 'lib/host/index.ts', 'lib/plugin/index.ts', 'lib/cli/main.ts'],
  outbase: 'lib',
  outdir,
  chunkNames: 'shared/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  // Dependencies stay what npm installed: theirs to mend, and grpc-js's Metadata has to be the same for everybody.
  packages: 'external',
  // The generated code of this package itself needs no way round.
  alias: { 'muxplug/protobuf': './proto/protobuf.js' },
  sourcemap: true,
  logLevel: 'warning'
})
