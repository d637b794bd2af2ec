// Generated from hostserve.proto by proto/generate.js. Do not edit.
import type { Writer } from "protobufjs/minimal.js";

export interface ReadDirRequest {
    /** Path relative to the directory that the host shares; `.` is that directory. */
    path: string;
}
export namespace ReadDirRequest {
    /** What {@link ReadDirRequest} is made from: a field left out has its default. */
    interface Init {
        /** Path relative to the directory that the host shares; `.` is that directory. */
        path?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ReadDirRequest;
}

export interface ReadDirResponse {
    entries: DirEntry[];
}
export namespace ReadDirResponse {
    /** What {@link ReadDirResponse} is made from: a field left out has its default. */
    interface Init {
        entries?: readonly DirEntry.Init[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ReadDirResponse;
}

export interface DirEntry {
    /** The name. A byte that is not UTF-8 is shown as `\xNN`; `raw_name` then has the name itself. */
    name: string;
    isDir: boolean;
    /** The name's bytes on disk, only where they are not UTF-8. */
    rawName: Uint8Array;
}
export namespace DirEntry {
    /** What {@link DirEntry} is made from: a field left out has its default. */
    interface Init {
        /** The name. A byte that is not UTF-8 is shown as `\xNN`; `raw_name` then has the name itself. */
        name?: string | null | undefined;
        isDir?: boolean | null | undefined;
        /** The name's bytes on disk, only where they are not UTF-8. */
        rawName?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): DirEntry;
}

/** What a host lets its plugins do with its files. */
export const HostService: {
    readonly typeName: "hostserve.v1.HostService";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Reads one directory. */
        readonly readDir: {
            readonly path: "/hostserve.v1.HostService/ReadDir";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof ReadDirRequest;
            readonly response: typeof ReadDirResponse;
        };
    };
};
