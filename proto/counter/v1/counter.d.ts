// Generated from counter.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface AddRequest {
    amount: number;
}
export namespace AddRequest {
    /** What {@link AddRequest} is made from: a field left out has its default. */
    interface Init {
        amount?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): AddRequest;
}

export interface AddResponse {
    value: number;
}
export namespace AddResponse {
    /** What {@link AddResponse} is made from: a field left out has its default. */
    interface Init {
        value?: number | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): AddResponse;
}

/** One counter. */
export const Counter: {
    readonly typeName: "counter.v1.Counter";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** Adds to it and says what it is then. */
        readonly add: {
            readonly path: "/counter.v1.Counter/Add";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof AddRequest;
            readonly response: typeof AddResponse;
        };
    };
};
