// Generated from cache.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface GetRequest {
    key: string;
}
export namespace GetRequest {
    /** What {@link GetRequest} is made from: a field left out has its default. */
    interface Init {
        key?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): GetRequest;
}

export interface GetResponse {
    found: boolean;
    /** Empty when nothing was found. */
    value: Uint8Array;
}
export namespace GetResponse {
    /** What {@link GetResponse} is made from: a field left out has its default. */
    interface Init {
        found?: boolean | null | undefined;
        /** Empty when nothing was found. */
        value?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): GetResponse;
}

export interface PutRequest {
    key: string;
    value: Uint8Array;
    /** Milliseconds after which the entry is forgotten; the host has a limit of its own. 0: that limit. */
    ttlMs: number;
}
export namespace PutRequest {
    /** What {@link PutRequest} is made from: a field left out has its default. */
    interface Init {
        key?: string | null | undefined;
        value?: Uint8Array | null | undefined;
        /** Milliseconds after which the entry is forgotten; the host has a limit of its own. 0: that limit. */
        ttlMs?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): PutRequest;
}

export interface PutResponse {
}
export namespace PutResponse {
    /** What {@link PutResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): PutResponse;
}

/** A cache of the host. It holds so many bytes and forgets what was not used for longest; an entry may be gone at any time. */
export const Cache: {
    readonly typeName: "cache.v1.Cache";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** INVALID_ARGUMENT for an empty key. */
        readonly get: {
            readonly path: "/cache.v1.Cache/Get";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof GetRequest;
            readonly response: typeof GetResponse;
        };
        /** Adds or replaces. INVALID_ARGUMENT for an empty key, and for an entry larger than the host allows. */
        readonly put: {
            readonly path: "/cache.v1.Cache/Put";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof PutRequest;
            readonly response: typeof PutResponse;
        };
    };
};
