// Generated from direct.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

/** One metadata value. A key with several values has several entries, in order. */
export interface Entry {
    /** Lower-case letters, digits, "_", "-" and ".". */
    key: string;
    /** Printable ASCII, or any bytes where the key ends in "-bin". */
    value: Uint8Array;
}
export namespace Entry {
    /** What {@link Entry} is made from: a field left out has its default. */
    interface Init {
        /** Lower-case letters, digits, "_", "-" and ".". */
        key?: string | null | undefined;
        /** Printable ASCII, or any bytes where the key ends in "-bin". */
        value?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Entry;
}

/** Begins a request. */
export interface Start {
    /** "/package.Service/Method" */
    method: string;
    /** How long the caller waits from now on, in milliseconds. 0: for ever. */
    timeoutMs: number;
    metadata: Entry[];
    /** Of the messages with the compressed flag: "gzip" or "deflate". Empty: there are none. */
    encoding: string;
    /** The host that the call is meant for, where the caller has named one. */
    authority: string;
}
export namespace Start {
    /** What {@link Start} is made from: a field left out has its default. */
    interface Init {
        /** "/package.Service/Method" */
        method?: string | null | undefined;
        /** How long the caller waits from now on, in milliseconds. 0: for ever. */
        timeoutMs?: number | null | undefined;
        metadata?: readonly Entry.Init[] | null | undefined;
        /** Of the messages with the compressed flag: "gzip" or "deflate". Empty: there are none. */
        encoding?: string | null | undefined;
        /** The host that the call is meant for, where the caller has named one. */
        authority?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Start;
}

/** Begins a response. Left out where it would be empty. */
export interface Header {
    metadata: Entry[];
    /** As in Start. */
    encoding: string;
}
export namespace Header {
    /** What {@link Header} is made from: a field left out has its default. */
    interface Init {
        metadata?: readonly Entry.Init[] | null | undefined;
        /** As in Start. */
        encoding?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Header;
}

/** Ends a response. */
export interface Status {
    /** A gRPC status code, 0 to 16. */
    code: number;
    details: string;
    metadata: Entry[];
}
export namespace Status {
    /** What {@link Status} is made from: a field left out has its default. */
    interface Init {
        /** A gRPC status code, 0 to 16. */
        code?: number | null | undefined;
        details?: string | null | undefined;
        metadata?: readonly Entry.Init[] | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): Status;
}
