// Generated from kv.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface GetRequest {
    key: Uint8Array;
    transaction: number;
}
export namespace GetRequest {
    /** What {@link GetRequest} is made from: a field left out has its default. */
    interface Init {
        key?: Uint8Array | null | undefined;
        transaction?: number | null | undefined;
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

export interface SetRequest {
    key: Uint8Array;
    value: Uint8Array;
    transaction: number;
}
export namespace SetRequest {
    /** What {@link SetRequest} is made from: a field left out has its default. */
    interface Init {
        key?: Uint8Array | null | undefined;
        value?: Uint8Array | null | undefined;
        transaction?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SetRequest;
}

export interface SetResponse {
}
export namespace SetResponse {
    /** What {@link SetResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SetResponse;
}

export interface DeleteRequest {
    key: Uint8Array;
    transaction: number;
}
export namespace DeleteRequest {
    /** What {@link DeleteRequest} is made from: a field left out has its default. */
    interface Init {
        key?: Uint8Array | null | undefined;
        transaction?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): DeleteRequest;
}

export interface DeleteResponse {
    /** Whether there was something. */
    found: boolean;
}
export namespace DeleteResponse {
    /** What {@link DeleteResponse} is made from: a field left out has its default. */
    interface Init {
        /** Whether there was something. */
        found?: boolean | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): DeleteResponse;
}

export interface ScanRequest {
    /** Empty: all keys. */
    prefix: Uint8Array;
    /** At most so many entries; the host has limits of its own, of entries and of bytes. 0: as many as they allow. */
    pageSize: number;
    /** `next_page_token` of the page before; empty for the first page. */
    pageToken: Uint8Array;
    transaction: number;
}
export namespace ScanRequest {
    /** What {@link ScanRequest} is made from: a field left out has its default. */
    interface Init {
        /** Empty: all keys. */
        prefix?: Uint8Array | null | undefined;
        /** At most so many entries; the host has limits of its own, of entries and of bytes. 0: as many as they allow. */
        pageSize?: number | null | undefined;
        /** `next_page_token` of the page before; empty for the first page. */
        pageToken?: Uint8Array | null | undefined;
        transaction?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ScanRequest;
}

export interface ScanResponse {
    entries: Entry[];
    /** Where the next page begins; empty after the last one. */
    nextPageToken: Uint8Array;
}
export namespace ScanResponse {
    /** What {@link ScanResponse} is made from: a field left out has its default. */
    interface Init {
        entries?: readonly Entry.Init[] | null | undefined;
        /** Where the next page begins; empty after the last one. */
        nextPageToken?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): ScanResponse;
}

export interface Entry {
    key: Uint8Array;
    value: Uint8Array;
}
export namespace Entry {
    /** What {@link Entry} is made from: a field left out has its default. */
    interface Init {
        key?: Uint8Array | null | undefined;
        value?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Entry;
}

export interface BeginRequest {
}
export namespace BeginRequest {
    /** What {@link BeginRequest} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): BeginRequest;
}

export interface BeginResponse {
    /** For the calls that belong to it, over this connection or another one of the same plugin. Never 0. */
    transaction: number;
}
export namespace BeginResponse {
    /** What {@link BeginResponse} is made from: a field left out has its default. */
    interface Init {
        /** For the calls that belong to it, over this connection or another one of the same plugin. Never 0. */
        transaction?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): BeginResponse;
}

export interface CommitRequest {
    transaction: number;
}
export namespace CommitRequest {
    /** What {@link CommitRequest} is made from: a field left out has its default. */
    interface Init {
        transaction?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CommitRequest;
}

export interface CommitResponse {
}
export namespace CommitResponse {
    /** What {@link CommitResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CommitResponse;
}

export interface RollbackRequest {
    transaction: number;
}
export namespace RollbackRequest {
    /** What {@link RollbackRequest} is made from: a field left out has its default. */
    interface Init {
        transaction?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): RollbackRequest;
}

export interface RollbackResponse {
}
export namespace RollbackResponse {
    /** What {@link RollbackResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): RollbackResponse;
}

/**
 * A key-value store of the host. Keys and values are bytes; keys are in the order of their bytes.
 * 
 * With `transaction` 0 a call is by itself. With the number of a transaction it is a part of that one: nobody else sees what it
 * changes until Commit. The host limits keys, values, pages, open transactions and how long one stays open. A key that is
 * empty or too long, and a value that is too long, are INVALID_ARGUMENT; a transaction that is not open is FAILED_PRECONDITION.
 */
export const KeyValue: {
    readonly typeName: "kv.v1.KeyValue";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        readonly get: {
            readonly path: "/kv.v1.KeyValue/Get";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof GetRequest;
            readonly response: typeof GetResponse;
        };
        /** Adds or replaces. ABORTED when a transaction is in the way: roll back and begin again, or set again a little later. */
        readonly set: {
            readonly path: "/kv.v1.KeyValue/Set";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof SetRequest;
            readonly response: typeof SetResponse;
        };
        /** Fails as Set does. */
        readonly delete: {
            readonly path: "/kv.v1.KeyValue/Delete";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof DeleteRequest;
            readonly response: typeof DeleteResponse;
        };
        /** One page of the keys that begin with a prefix. */
        readonly scan: {
            readonly path: "/kv.v1.KeyValue/Scan";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof ScanRequest;
            readonly response: typeof ScanResponse;
        };
        /**
         * Begins a transaction, which sees the store as it is now. The one response comes at once; the call stays open as long as
         * the transaction. It ends well after Commit and Rollback. When it ends in any other way, because the caller cancels it, has
         * given it a deadline, hangs up or dies, the transaction is rolled back. RESOURCE_EXHAUSTED when too many are open;
         * DEADLINE_EXCEEDED when this one has been open for too long.
         */
        readonly begin: {
            readonly path: "/kv.v1.KeyValue/Begin";
            readonly requestStream: false;
            readonly responseStream: true;
            readonly request: typeof BeginRequest;
            readonly response: typeof BeginResponse;
        };
        /** Keeps what the transaction has changed, all of it. */
        readonly commit: {
            readonly path: "/kv.v1.KeyValue/Commit";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof CommitRequest;
            readonly response: typeof CommitResponse;
        };
        /** Forgets what the transaction has changed, all of it. */
        readonly rollback: {
            readonly path: "/kv.v1.KeyValue/Rollback";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof RollbackRequest;
            readonly response: typeof RollbackResponse;
        };
    };
};
