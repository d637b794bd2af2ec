/**
 * The two files generated from one .proto: `[path, content]` each. Paths, also those of imports, are from the working
 * directory.
 */
export function generate(protoPath: string): Promise<[path: string, content: string][]>;
