/** Why a package that a row needs cannot be had, or nothing. */
export async function whyMissing(specifier: string): Promise<string | undefined> {
  try {
    import.meta.resolve(specifier)
    return undefined
  } catch {
    return `not installed: ${specifier}`
  }
}

/**
 * Loads a package that need not be installed. A name that the compiler does not know lets it compile without; `T` is
 * what a row uses of it.
 */
export async function load<T>(specifier: string): Promise<T> {
  return (await import(specifier)) as T
}
