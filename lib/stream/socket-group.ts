import { readFile } from 'node:fs/promises'
import { PluginError } from '../errors.js'

/**
 * The number of a group, given as a number or by name: the number is tried first, as go-plugin does
 * (`server.go`). Names are looked up in `/etc/group` only.
 * @throws `ERR_CONFIG_INVALID` when there is none of that name
 */
export async function groupId(group: string, file = '/etc/group'): Promise<number> {
  if (/^\d{1,10}$/.test(group) && Number(group) < 0xffff_ffff) return Number(group)
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n')
  for (const line of lines) {
    const [name, , id] = line.split(':')
    if (name === group && id !== undefined && /^\d+$/.test(id)) return Number(id)
  }
  throw new PluginError(
    'ERR_CONFIG_INVALID',
    `${JSON.stringify(group.slice(0, 100))} is no group in ${file}`,
    {
      hint: 'Give the group of the unix socket as its number; only local groups are known by name.'
    }
  )
}
