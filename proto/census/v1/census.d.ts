// Generated from census.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export type Way = number;
export const Way: {
    readonly WAY_UNSPECIFIED: 0;
    /** All entries in one response. */
    readonly WAY_WHOLE: 1;
    /** A page of at most 500 entries for each call. */
    readonly WAY_PAGES: 2;
    /** One call with many responses. */
    readonly WAY_STREAM: 3;
    readonly [value: number]: string | undefined;
};

export interface CountRequest {
    /** Broker ID of the host's `hostserve.v1.HostService`. */
    hostService: number;
    /** Path relative to the directory that the host shares. */
    dir: string;
    way: Way;
}
export namespace CountRequest {
    /** What {@link CountRequest} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of the host's `hostserve.v1.HostService`. */
        hostService?: number | null | undefined;
        /** Path relative to the directory that the host shares. */
        dir?: string | null | undefined;
        way?: Way | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CountRequest;
}

export interface CountResponse {
    entries: number;
    /** Responses of the host. */
    messages: number;
    /** The largest of them, in bytes. */
    largestBytes: number;
}
export namespace CountResponse {
    /** What {@link CountResponse} is made from: a field left out has its default. */
    interface Init {
        entries?: number | null | undefined;
        /** Responses of the host. */
        messages?: number | null | undefined;
        /** The largest of them, in bytes. */
        largestBytes?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CountResponse;
}

/** Counts the entries of a directory of the host, and says what came for it. */
export const Census: {
    readonly typeName: "census.v1.Census";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Fails with INVALID_ARGUMENT for a way that there is not, and as the host's service does where that refuses. */
        readonly count: {
            readonly path: "/census.v1.Census/Count";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof CountRequest;
            readonly response: typeof CountResponse;
        };
    };
};
