import type { Command, Option } from 'commander'

/** The shells that there is a completion script for. */
export const shells = ['bash', 'zsh', 'fish'] as const

/**
 * What it completes: the installed program, and the one in a checkout where the shell can tell it by its
 * path.
 */
const programs = ['muxplug-host', 'bin/host'] as const

/**
 * A script that completes the words of `host` in a shell: its options with their choices, its commands,
 * directories, and the names of plugins, for which the program itself is asked. All else is written down in
 * it, so that a key press starts no Node.js. Load it with `eval`, or put it where the shell looks for such
 * scripts.
 */
export function completion(host: Command, shell: (typeof shells)[number]): string {
  const words: Words = {
    options: optionsOf(host),
    commands: host.commands.map((command) => ({
      name: command.name(),
      description: command.description(),
      options: optionsOf(command),
      choices: command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices)
    }))
  }
  switch (shell) {
    case 'bash':
      return bash(words)
    case 'zsh':
      return zsh(words)
    case 'fish':
      return fish(words)
  }
}

interface Words {
  readonly options: readonly OptionWords[]
  readonly commands: readonly {
    readonly name: string
    readonly description: string
    readonly options: readonly OptionWords[]
    /** Of its argument. */
    readonly choices: readonly string[]
  }[]
}

interface OptionWords {
  /** `-q`, `--quiet` */
  readonly flags: readonly string[]
  readonly description: string
  readonly value:
    | { readonly t: 'none' | 'plugin' | 'directory' }
    | { readonly t: 'choice'; readonly choices: readonly string[] }
}

function optionsOf(command: Command): OptionWords[] {
  const help = command.createHelp()
  return help.visibleOptions(command).map((option) => ({
    flags: [option.short, option.long].filter((flag) => flag !== undefined),
    description: option.description,
    value: valueOf(option)
  }))
}

function valueOf({ required, argChoices, long }: Option): OptionWords['value'] {
  if (!required) return { t: 'none' }
  if (argChoices !== undefined) return { t: 'choice', choices: argChoices }
  return { t: long === '--plugin' ? 'plugin' : 'directory' }
}

/** Runs on bash 3.2, which macOS has: no mapfile, no compopt. */
function bash({ options, commands }: Words): string {
  const valued = options.filter(({ value }) => value.t !== 'none')
  const cases = valued.map(({ flags, value }) => `    ${flags.join('|')}) ${bashValue(value)}; return ;;`)
  const own = commands.map(
    ({ name, options, choices }) =>
      `    ${name}) COMPREPLY=($(compgen -W '${[...choices, ...flagsOf(options)].join(' ')}' -- "$word")); return ;;`
  )
  return `# bash completion for ${programs[0]}
_muxplug_host() {
  local IFS=$' \\n' program=\${COMP_WORDS[0]} word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  # bash makes three words of --option=value.
  if [[ $word == '=' ]]; then
    word=
  elif [[ $before == '=' ]]; then
    before=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  case $before in
${cases.join('\n')}
  esac
  (( COMP_CWORD > 1 )) && case \${COMP_WORDS[1]} in
${own.join('\n')}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W '${flagsOf(options).join(' ')}' -- "$word"))
    return
  fi
  (( COMP_CWORD == 1 )) && COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')}' -- "$word"))
  IFS=$'\\n'
  COMPREPLY+=($(compgen -d -- "$word"))
}
complete -o filenames -F _muxplug_host ${programs.join(' ')}
`
}

function bashValue(value: OptionWords['value']): string {
  switch (value.t) {
    case 'choice':
      return `COMPREPLY=($(compgen -W '${value.choices.join(' ')}' -- "$word"))`
    case 'plugin':
      return (
        `COMPREPLY=($(compgen -W "$("$program" plugins --names 2>/dev/null)" -- "$word")); ` +
        `IFS=$'\\n'; COMPREPLY+=($(compgen -f -- "$word"))`
      )
    default:
      return `IFS=$'\\n'; COMPREPLY=($(compgen -d -- "$word"))`
  }
}

function zsh({ options, commands }: Words): string {
  const own = commands.map(({ name, options, choices }) => {
    const argument = choices.length > 0 ? [`'1:argument:(${choices.join(' ')})'`] : []
    return `    ${name})
      shift words
      (( CURRENT -= 1 ))
      _arguments -S ${[...options.map(zshOption), ...argument].join(' \\\n        ')}
      return ;;`
  })
  return `#compdef ${programs[0]}
_muxplug_host_plugins() {
  local names
  names=(\${(f)"$(_call_program plugins \${(q)words[1]} plugins --names 2>/dev/null)"})
  _alternative 'plugins:plugin:compadd -a names' 'files:manifest:_files'
}
_muxplug_host() {
  (( CURRENT > 2 )) && case \${words[2]} in
${own.join('\n')}
  esac
  _arguments -S ${options.map(zshOption).join(' \\\n    ')} \\
    '1: :_muxplug_host_first'
}
_muxplug_host_first() {
  local -a commands=(${commands.map(({ name, description }) => quoteSh(`${name}:${description}`)).join(' ')})
  _describe command commands
  _files -/
}
if [[ \${funcstack[1]} == _muxplug_host ]]; then
  _muxplug_host "$@"
else
  compdef _muxplug_host ${programs.join(' ')}
fi
`
}

function zshOption({ flags, description, value }: OptionWords): string {
  const action = {
    none: '',
    choice: value.t === 'choice' ? `:value:(${value.choices.join(' ')})` : '',
    plugin: ':plugin:_muxplug_host_plugins',
    directory: ':folder:_files -/'
  }[value.t]
  // Brackets end the description, and colons what comes before the action.
  const told = quoteSh(`[${description.replaceAll(/[\\[\]:]/g, '\\$&')}]${action}`)
  // One of the spellings is enough; folders may be given again and again.
  const [flag, ...more] = flags
  if (more.length > 0) return `'(${flags.join(' ')})'{${flags.join(',')}}${told}`
  return `${value.t === 'directory' ? "'*'" : ''}${flag}${told}`
}

/** One word for bash and zsh. */
function quoteSh(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function fish({ options, commands }: Words): string {
  const names = commands.map(({ name }) => name).join(' ')
  const at = (condition: string) => (option: OptionWords) =>
    `complete -c ${programs[0]} -n '${condition}' ${fishOption(option)}`
  const none = `not __fish_seen_subcommand_from ${names}`
  const lines = [
    `complete -c ${programs[0]} -f`,
    ...options.map(at(none)),
    `complete -c ${programs[0]} -n '${none}' -a '(__fish_complete_directories)'`,
    ...commands.flatMap(({ name, description, options, choices }) => {
      const seen = `__fish_seen_subcommand_from ${name}`
      return [
        `complete -c ${programs[0]} -n __fish_use_subcommand -a ${name} -d ${quoteFish(description)}`,
        ...options.map(at(seen)),
        ...(choices.length > 0
          ? [`complete -c ${programs[0]} -n '${seen}' -a ${quoteFish(choices.join(' '))}`]
          : [])
      ]
    })
  ]
  return `# fish completion for ${programs[0]}\n${lines.join('\n')}\n`
}

function fishOption({ flags, description, value }: OptionWords): string {
  const spelled = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
  const action = {
    none: [],
    choice: value.t === 'choice' ? ['-x', '-a', quoteFish(value.choices.join(' '))] : [],
    plugin: ['-r', '-F', '-a', `'(${programs[0]} plugins --names 2>/dev/null)'`],
    directory: ['-x', '-a', `'(__fish_complete_directories)'`]
  }[value.t]
  return [...spelled, ...action, '-d', quoteFish(description)].join(' ')
}

function quoteFish(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`
}

function flagsOf(options: readonly OptionWords[]): string[] {
  return options.flatMap(({ flags }) => flags)
}
