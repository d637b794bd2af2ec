// Generated from counters.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface OpenRequest {
    /** What the counter begins with. */
    start: number;
}
export namespace OpenRequest {
    /** What {@link OpenRequest} is made from: a field left out has its default. */
    interface Init {
        /** What the counter begins with. */
        start?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): OpenRequest;
}

export interface OpenResponse {
    /** Broker ID of a `counter.v1.Counter`, served by whoever answers. */
    counter: number;
}
export namespace OpenResponse {
    /** What {@link OpenResponse} is made from: a field left out has its default. */
    interface Init {
        /** Broker ID of a `counter.v1.Counter`, served by whoever answers. */
        counter?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): OpenResponse;
}

export interface CloseRequest {
    counter: number;
}
export namespace CloseRequest {
    /** What {@link CloseRequest} is made from: a field left out has its default. */
    interface Init {
        counter?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CloseRequest;
}

export interface CloseResponse {
}
export namespace CloseResponse {
    /** What {@link CloseResponse} is made from: a field left out has its default. */
    interface Init {
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): CloseResponse;
}

/** Opens counters, each of which is a service of its own. */
export const Counters: {
    readonly typeName: "counters.v1.Counters";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Offers a new counter. RESOURCE_EXHAUSTED when 16 are open. */
        readonly open: {
            readonly path: "/counters.v1.Counters/Open";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof OpenRequest;
            readonly response: typeof OpenResponse;
        };
        /** Withdraws a counter: no call reaches it any more. NOT_FOUND when it is not open. */
        readonly close: {
            readonly path: "/counters.v1.Counters/Close";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof CloseRequest;
            readonly response: typeof CloseResponse;
        };
    };
};
