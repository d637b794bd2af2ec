// Generated from digest.proto by muxplug-proto. Do not edit.
import type { Writer } from "muxplug/protobuf";

export interface SumRequest {
    data: Uint8Array;
}
export namespace SumRequest {
    /** What {@link SumRequest} is made from: a field left out has its default. */
    interface Init {
        data?: Uint8Array | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SumRequest;
}

export interface SumResponse {
    /** 64 hexadecimal digits. */
    sha256: string;
}
export namespace SumResponse {
    /** What {@link SumResponse} is made from: a field left out has its default. */
    interface Init {
        /** 64 hexadecimal digits. */
        sha256?: string | null | undefined;
    }
    function encode(message: Init, writer?: Writer): Writer;
    function decode(bytes: Uint8Array): SumResponse;
}

/** Takes much and answers with little. */
export const Digest: {
    readonly typeName: "digest.v1.Digest";
    readonly fileDescriptors: () => readonly Uint8Array[];
    readonly methods: {
        /** SHA-256 of the data. */
        readonly sum: {
            readonly path: "/digest.v1.Digest/Sum";
            readonly requestStream: false;
            readonly responseStream: false;
            readonly request: typeof SumRequest;
            readonly response: typeof SumResponse;
        };
    };
};
