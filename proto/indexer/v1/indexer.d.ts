// Generated from indexer.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface IndexRequest {
    /** Broker IDs of the host: `hostserve.v1.HostService`, `kv.v1.KeyValue` and `cache.v1.Cache`. */
    files: number;
    store: number;
    cache: number;
    /** Relative to the directory that the host shares. */
    dir: string;
    /** Ends the plugin's process with SIGKILL after the first file, to show what becomes of the transaction. */
    die: boolean;
}
export namespace IndexRequest {
    /** What {@link IndexRequest} is made from: a field left out has its default. */
    interface Init {
        /** Broker IDs of the host: `hostserve.v1.HostService`, `kv.v1.KeyValue` and `cache.v1.Cache`. */
        files?: number | null | undefined;
        store?: number | null | undefined;
        cache?: number | null | undefined;
        /** Relative to the directory that the host shares. */
        dir?: string | null | undefined;
        /** Ends the plugin's process with SIGKILL after the first file, to show what becomes of the transaction. */
        die?: boolean | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): IndexRequest;
}

export interface IndexResponse {
    files: number;
    /** How many of the digests were in the cache. */
    cached: number;
}
export namespace IndexResponse {
    /** What {@link IndexResponse} is made from: a field left out has its default. */
    interface Init {
        files?: number | null | undefined;
        /** How many of the digests were in the cache. */
        cached?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): IndexResponse;
}

export interface FindRequest {
    /** Broker ID of the host's `kv.v1.KeyValue`. */
    store: number;
    prefix: string;
}
export namespace FindRequest {
    /** What {@link FindRequest} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of the host's `kv.v1.KeyValue`. */
        store?: number | null | undefined;
        prefix?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FindRequest;
}

export interface FindResponse {
    paths: string[];
}
export namespace FindResponse {
    /** What {@link FindResponse} is made from: a field left out has its default. */
    interface Init {
        paths?: readonly string[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): FindResponse;
}

/** Keeps digests of the host's files in the host's store. */
export const Indexer: {
    readonly typeName: "indexer.v1.Indexer";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Stores the SHA-256 of every file of a directory under the file's path: all of them, or none when it fails. */
        readonly index: {
            readonly path: "/indexer.v1.Indexer/Index";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof IndexRequest;
            readonly response: typeof IndexResponse;
        };
        /** The paths in the store that begin with a prefix. */
        readonly find: {
            readonly path: "/indexer.v1.Indexer/Find";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof FindRequest;
            readonly response: typeof FindResponse;
        };
    };
};
