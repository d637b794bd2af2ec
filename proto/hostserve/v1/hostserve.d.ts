// Generated from hostserve.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export type FileType = number;
export const FileType: {
    readonly FILE_TYPE_UNSPECIFIED: 0;
    readonly FILE_TYPE_FILE: 1;
    readonly FILE_TYPE_DIRECTORY: 2;
    readonly FILE_TYPE_SYMLINK: 3;
    /** A device, a FIFO, a socket: none of them can be read. */
    readonly FILE_TYPE_OTHER: 4;
    readonly [value: number]: string | undefined;
};

export interface ReadDirRequest {
    /** Path relative to the directory that the host shares; `.` is that directory. */
    path: string;
    /** The path's bytes instead of `path`, where they are not UTF-8. */
    rawPath: Uint8Array;
    /** At most so many entries; the host has a limit of its own. 0: all entries in one response, or RESOURCE_EXHAUSTED. */
    pageSize: number;
    /** `next_page_token` of the page before; empty for the first page. */
    pageToken: string;
}
export namespace ReadDirRequest {
    /** What {@link ReadDirRequest} is made from: a field left out has its default. */
    interface Init {
        /** Path relative to the directory that the host shares; `.` is that directory. */
        path?: string | null | undefined;
        /** The path's bytes instead of `path`, where they are not UTF-8. */
        rawPath?: Uint8Array | null | undefined;
        /** At most so many entries; the host has a limit of its own. 0: all entries in one response, or RESOURCE_EXHAUSTED. */
        pageSize?: number | null | undefined;
        /** `next_page_token` of the page before; empty for the first page. */
        pageToken?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ReadDirRequest;
}

export interface ReadDirResponse {
    entries: DirEntry[];
    /** Where the next page begins; empty after the last one. */
    nextPageToken: string;
}
export namespace ReadDirResponse {
    /** What {@link ReadDirResponse} is made from: a field left out has its default. */
    interface Init {
        entries?: readonly DirEntry.Init[] | null | undefined;
        /** Where the next page begins; empty after the last one. */
        nextPageToken?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ReadDirResponse;
}

export interface StreamDirRequest {
    path: string;
    /** The path's bytes instead of `path`, where they are not UTF-8. */
    rawPath: Uint8Array;
}
export namespace StreamDirRequest {
    /** What {@link StreamDirRequest} is made from: a field left out has its default. */
    interface Init {
        path?: string | null | undefined;
        /** The path's bytes instead of `path`, where they are not UTF-8. */
        rawPath?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StreamDirRequest;
}

export interface StreamDirResponse {
    /** The next entries, a few at a time. */
    entries: DirEntry[];
}
export namespace StreamDirResponse {
    /** What {@link StreamDirResponse} is made from: a field left out has its default. */
    interface Init {
        /** The next entries, a few at a time. */
        entries?: readonly DirEntry.Init[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StreamDirResponse;
}

export interface DirEntry {
    /** The name. A byte that is not UTF-8 is shown as `\xNN`; `raw_name` then has the name itself. */
    name: string;
    isDir: boolean;
    /** The name's bytes on disk, only where they are not UTF-8. */
    rawName: Uint8Array;
    /** What the entry is; a symbolic link itself, and not what it leads to. */
    type: FileType;
    /** Bytes of a file. 0 where the host may list the directory and not look at its entries. 0 to 2^53-1. */
    size: number;
    /** When the content was last changed, in milliseconds since the epoch. -(2^53-1) to 2^53-1. */
    mtimeMs: number;
}
export namespace DirEntry {
    /** What {@link DirEntry} is made from: a field left out has its default. */
    interface Init {
        /** The name. A byte that is not UTF-8 is shown as `\xNN`; `raw_name` then has the name itself. */
        name?: string | null | undefined;
        isDir?: boolean | null | undefined;
        /** The name's bytes on disk, only where they are not UTF-8. */
        rawName?: Uint8Array | null | undefined;
        /** What the entry is; a symbolic link itself, and not what it leads to. */
        type?: FileType | null | undefined;
        /** Bytes of a file. 0 where the host may list the directory and not look at its entries. 0 to 2^53-1. */
        size?: number | null | undefined;
        /** When the content was last changed, in milliseconds since the epoch. -(2^53-1) to 2^53-1. */
        mtimeMs?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): DirEntry;
}

export interface ReadFileRequest {
    path: string;
    /** The path's bytes instead of `path`, where they are not UTF-8. */
    rawPath: Uint8Array;
    /** Where to begin, in bytes. Behind the end there is nothing, which is no error. 0 to 2^53-1. */
    offset: number;
    /** At most so many bytes; 0: up to the end. 0 to 2^53-1. */
    length: number;
    /** At most so many bytes in one response; the host has a limit of its own. 0: 64 KiB. */
    chunkBytes: number;
}
export namespace ReadFileRequest {
    /** What {@link ReadFileRequest} is made from: a field left out has its default. */
    interface Init {
        path?: string | null | undefined;
        /** The path's bytes instead of `path`, where they are not UTF-8. */
        rawPath?: Uint8Array | null | undefined;
        /** Where to begin, in bytes. Behind the end there is nothing, which is no error. 0 to 2^53-1. */
        offset?: number | null | undefined;
        /** At most so many bytes; 0: up to the end. 0 to 2^53-1. */
        length?: number | null | undefined;
        /** At most so many bytes in one response; the host has a limit of its own. 0: 64 KiB. */
        chunkBytes?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ReadFileRequest;
}

export interface ReadFileResponse {
    data: Uint8Array;
}
export namespace ReadFileResponse {
    /** What {@link ReadFileResponse} is made from: a field left out has its default. */
    interface Init {
        data?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ReadFileResponse;
}

export interface StatRequest {
    path: string;
    /** The path's bytes instead of `path`, where they are not UTF-8. */
    rawPath: Uint8Array;
}
export namespace StatRequest {
    /** What {@link StatRequest} is made from: a field left out has its default. */
    interface Init {
        path?: string | null | undefined;
        /** The path's bytes instead of `path`, where they are not UTF-8. */
        rawPath?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StatRequest;
}

export interface StatResponse {
    type: FileType;
    /** Bytes of a file. 0 to 2^53-1. */
    size: number;
    /** When the content was last changed, in milliseconds since the epoch. -(2^53-1) to 2^53-1. */
    mtimeMs: number;
}
export namespace StatResponse {
    /** What {@link StatResponse} is made from: a field left out has its default. */
    interface Init {
        type?: FileType | null | undefined;
        /** Bytes of a file. 0 to 2^53-1. */
        size?: number | null | undefined;
        /** When the content was last changed, in milliseconds since the epoch. -(2^53-1) to 2^53-1. */
        mtimeMs?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): StatResponse;
}

export interface LogRequest {
    /** LEVEL_UNSPECIFIED is taken as LEVEL_INFO. */
    level: LogRequest.Level;
    message: string;
    fields: Record<string, string>;
}
export namespace LogRequest {
    /** What {@link LogRequest} is made from: a field left out has its default. */
    interface Init {
        /** LEVEL_UNSPECIFIED is taken as LEVEL_INFO. */
        level?: LogRequest.Level | null | undefined;
        message?: string | null | undefined;
        fields?: Readonly<Record<string, string>> | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): LogRequest;
    type Level = number;
    const Level: {
        readonly LEVEL_UNSPECIFIED: 0;
        readonly LEVEL_TRACE: 1;
        readonly LEVEL_DEBUG: 2;
        readonly LEVEL_INFO: 3;
        readonly LEVEL_WARN: 4;
        readonly LEVEL_ERROR: 5;
        readonly [value: number]: string | undefined;
    };
}

export interface LogResponse {
}
export namespace LogResponse {
    /** What {@link LogResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): LogResponse;
}

/**
 * What a host lets its plugins do with its files, and its log. Paths are relative to the directory that the host shares,
 * with `/` between names; `.` is that directory, and nothing outside it can be reached.
 */
export const HostService: {
    readonly typeName: "hostserve.v1.HostService";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Reads one directory: all of it, or a page, in the order of the names' bytes. */
        readonly readDir: {
            readonly path: "/hostserve.v1.HostService/ReadDir";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof ReadDirRequest;
            readonly response: typeof ReadDirResponse;
        };
        /** Reads one directory of any size, in no order. */
        readonly streamDir: {
            readonly path: "/hostserve.v1.HostService/StreamDir";
            readonly requestStream: false;
            readonly responseStream: true;
            readonly request: typeof StreamDirRequest;
            readonly response: typeof StreamDirResponse;
        };
        /** Reads a file, or a range of it. */
        readonly readFile: {
            readonly path: "/hostserve.v1.HostService/ReadFile";
            readonly requestStream: false;
            readonly responseStream: true;
            readonly request: typeof ReadFileRequest;
            readonly response: typeof ReadFileResponse;
        };
        /** What a path leads to. Symbolic links are followed. */
        readonly stat: {
            readonly path: "/hostserve.v1.HostService/Stat";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof StatRequest;
            readonly response: typeof StatResponse;
        };
        /** Writes one record to the host's log. */
        readonly log: {
            readonly path: "/hostserve.v1.HostService/Log";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof LogRequest;
            readonly response: typeof LogResponse;
        };
    };
};
