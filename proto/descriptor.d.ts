/** The descriptors, serialised, of a file and then of all files it imports. Paths are from the working directory. */
export function fileDescriptors(protoPath: string): Buffer[];
