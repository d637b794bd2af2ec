/** Variables that a plugin gets of its host's environment when nothing else is said; `X_*` stands for all beginning so. */
const commonNames = 'PATH HOME USER LOGNAME SHELL LANG LANGUAGE LC_* TZ TERM TMPDIR TMP TEMP'.split(' ')

/** Without these, programs on Windows do not find their libraries, their interpreter or a temporary directory. */
const windowsNames = (
  'SystemRoot SystemDrive windir ComSpec PATHEXT OS NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE USERNAME USERPROFILE ' +
  'HOMEDRIVE HOMEPATH APPDATA LOCALAPPDATA ProgramData ProgramFiles* CommonProgramFiles*'
).split(' ')

export interface PluginEnvironmentOptions {
  /** Usually `process.env`. */
  readonly from: NodeJS.ProcessEnv
  /**
   * What to take besides the default list: names, or `X_*` for all that begin so; `'all'` takes everything. Variables
   * that begin with `PLUGIN_` are never taken: those of a host that is a plugin itself would mislead its own plugins.
   * Give them in `own` where they mean something else.
   */
  readonly inherit?: readonly string[] | 'all'
  /** Variables of the caller's choice. They win over inherited ones. */
  readonly own?: Readonly<Record<string, string>>
  /** Variables of the handshake. They win over all. */
  readonly protocol: Readonly<Record<string, string>>
  /** On Windows names match without regard to case. Default: this platform. */
  readonly platform?: NodeJS.Platform
}

/**
 * The environment of a plugin. By default it holds what programs need to run and to speak the user's language, and
 * nothing that may be secret or changes how Node runs (`NODE_OPTIONS`).
 */
export function pluginEnvironment(options: PluginEnvironmentOptions): Record<string, string> {
  const { from, inherit = [], own = {}, protocol, platform = process.platform } = options
  const fold = (name: string): string => (platform === 'win32' ? name.toUpperCase() : name)
  const defaults = [...commonNames, ...(platform === 'win32' ? windowsNames : [])]
  const patterns = (inherit === 'all' ? ['*'] : [...defaults, ...inherit]).map(fold)
  const allowed = (name: string): boolean =>
    !name.startsWith('PLUGIN_') &&
    patterns.some((pattern) =>
      pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
    )

  const chosen = new Map<string, [name: string, value: string]>()
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && allowed(fold(name))) chosen.set(fold(name), [name, value])
  }
  for (const [name, value] of [...Object.entries(own), ...Object.entries(protocol)]) {
    chosen.set(fold(name), [name, value])
  }
  return Object.fromEntries(chosen.values())
}
